"""Any quantity of a network at the points of a grid, on ranks; joins the four rooms below."""
