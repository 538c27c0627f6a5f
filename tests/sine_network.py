"""A network of sines, whose surface has bumps, as the text of a module small_network.py."""

NETWORK = """
import torch

class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Linear(64, 12), torch.nn.Linear(12, 10)

    def forward(self, images):
        return self.second(torch.sin(3 * self.first(images.flatten(1))))

def build():
    return Small()
"""


def write_network(folder, text=NETWORK):
    """Write the module into a folder, and return the folder."""
    (folder / "small_network.py").write_text(text)
    return folder
