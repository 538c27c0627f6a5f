"use strict";
// What is set in the controls is `state`; a change of it draws again.

const root = document.documentElement;
const byId = (id) => document.getElementById(id);

const state = {
  quantity: null, scale: "auto", clip: null, floor: null, shared: true, paths: true,
  camera: null, turning: false, light: "soft", wires: false, spot: null, held: false,
  ball: null, method: "descent",
};
let views = [];

// For whoever drives the page from outside: how much is under way, or has been done.
function count(name, by) {
  root.dataset[name] = Number(root.dataset[name] ?? 0) + by;
}

// Runs a task for the last call only, while one is under way.
function latestOnly(task) {
  let [busy, again] = [false, false];
  return async function ask() {
    if (busy) { again = true; return; }
    busy = true;
    count("busy", 1);
    await new Promise(requestAnimationFrame);
    again = false; // the task sees all that was asked for until now
    try { await task(); } finally { busy = false; count("busy", -1); }
    if (again) { again = false; ask(); }
  };
}
