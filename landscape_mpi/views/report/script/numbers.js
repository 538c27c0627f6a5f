// Numbers and names in words.

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

function format(value, digits = 5) {
  if (Number.isNaN(value)) return "not a number";
  if (!Number.isFinite(value)) return value > 0 ? "infinite" : "−infinite";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e6) {
    const [mantissa, power] = value.toExponential(digits - 1).split("e");
    const raised = [...String(Math.abs(power))].map((c) => SUPERSCRIPTS[c]).join("");
    const times = Math.abs(mantissa) === 1 ? (mantissa < 0 ? "-" : "") : `${Number(mantissa)} × `;
    return `${times}10${power < 0 ? "⁻" : ""}${raised}`.replace("-", "−");
  }
  const text = String(Number(value.toPrecision(digits))).replace("-", "−");
  return size < 1e4 ? text : text.replace(/\B(?=(\d{3})+$)/g, ","); // 150,000
}

const titleOf = (q) => q.name.replaceAll("_", " ");
const withUnit = (text, q) => (q.unit ? `${text} ${q.unit}` : text);
const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
