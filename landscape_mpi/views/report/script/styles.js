// The policy of the page allows no style that is written as text, except the page's own. plotly.js
// sets such styles. Here they go through the object model, which only scripts can use.

function setStylesAsObjects() {
  const { setAttribute } = Element.prototype;
  Element.prototype.setAttribute = function set(name, value) {
    if (name === "style") this.style.cssText = value;
    else setAttribute.call(this, name, value);
  };
  Object.defineProperty(HTMLStyleElement.prototype, "textContent", {
    set(text) {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(text);
      document.adoptedStyleSheets.push(sheet);
    },
  });
}
