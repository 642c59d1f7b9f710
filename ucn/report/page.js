'use strict';
// Everything is drawn on one canvas with two windows, one for each photo: beside each other, or on
// narrow screens one above the other. A view is a place, as shares of the photos, and a zoom.
const data = JSON.parse(document.getElementById('data').textContent);
const $ = id => document.getElementById(id);
const canvas = $('canvas'), context = canvas.getContext('2d');
const view = {x: 0.5, y: 0.5, zoom: 1};
let pair = null, hovered = -1, asked = null, windows = [], visible = [], colours = {};

const bytes = text => Int8Array.from(atob(text), c => c.charCodeAt(0));
for (const p of data.photos) {
  p.image = new Image();
  p.image.onload = () => draw();
}
// Photos are decoded when they are first looked at.
const wanted = p => {
  if (!p.image.src) p.image.src = 'data:image/jpeg;base64,' + p.jpeg;
  return p;
};

// ---- What is shown

const sure = m => m[pair.confident ? 5 : 4];
const isInlier = k => pair.verified ? pair.matches[k][6] === 1 : true;
const removedBy = k => pair.matches[k][7] || 0;  // a filter's number from 1; 0: it is a match
const shown = () => visible;
function refresh() {
  const least = +$('least').value, wanted = {true: $('inliers').checked, false: $('outliers').checked};
  const filters = [true, ...[...$('filters').querySelectorAll('input')].map(f => f.checked)];
  visible = [];
  for (let k = 0; k < pair.matches.length; ++k)
    if (filters[removedBy(k)] && wanted[isInlier(k)] && (removedBy(k) || sure(pair.matches[k]) >= least)) visible.push(k);
}
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// By place as match's pictures are (position_color()), so that a match has one colour in both.
const corners = [[[86, 180, 233], [240, 228, 66]], [[0, 90, 200], [213, 94, 0]]];
function colourOf(k) {
  const m = pair.matches[k], how = colours.how;
  if (how === 'kind') return isInlier(k) ? colours.in : colours.out;
  if (how === 'sure') {  // cividis' ends, which all eyes tell apart
    const t = Math.min(1, Math.max(0, sure(m)));
    return `rgb(${20 + 235 * t}, ${50 + 180 * t}, ${110 - 50 * t})`;
  }
  const a = pair.photos[0], share = v => Math.min(1, Math.max(0, v));
  const u = share(m[0] / a.width), v = share(m[1] / a.height), mix = (p, q, t) => p + (q - p) * t;
  return `rgb(${[0, 1, 2].map(c => mix(mix(corners[0][0][c], corners[0][1][c], u),
                                       mix(corners[1][0][c], corners[1][1][c], u), v).toFixed(0))})`;
}

// ---- Windows: where each photo is on the canvas

function layout() {
  const w = canvas.clientWidth, h = canvas.clientHeight, ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const gap = 6, beside = w >= 640;
  const boxes = beside ? [[0, 0, (w - gap) / 2, h], [(w + gap) / 2, 0, (w - gap) / 2, h]]
                       : [[0, 0, w, (h - gap) / 2], [0, (h + gap) / 2, w, (h - gap) / 2]];
  windows = boxes.map(([left, top, width, height], i) => {
    const p = pair.photos[i], scale = view.zoom * Math.min(width / p.width, height / p.height);
    return {left, top, width, height, scale,
            x: left + width / 2 - view.x * p.width * scale,   // of the photo's corner
            y: top + height / 2 - view.y * p.height * scale};
  });
}
// Pixel (0, 0) is the centre of the first pixel.
const toCanvas = (i, x, y) =>
  [windows[i].x + (x + 0.5) * windows[i].scale, windows[i].y + (y + 0.5) * windows[i].scale];
const toPhoto = (i, x, y) =>
  [(x - windows[i].x) / windows[i].scale - 0.5, (y - windows[i].y) / windows[i].scale - 0.5];
const windowAt = (x, y) => windows.findIndex(
  b => x >= b.left && y >= b.top && x < b.left + b.width && y < b.top + b.height);
const within = (i, x, y) => windowAt(x, y) === i;

// ---- Drawing

function dot(x, y, radius, colour, square, hollow) {
  context.beginPath();
  if (square) {
    context.moveTo(x, y - radius * 1.3); context.lineTo(x + radius * 1.3, y);
    context.lineTo(x, y + radius * 1.3); context.lineTo(x - radius * 1.3, y); context.closePath();
  } else {
    context.arc(x, y, radius, 0, 7);
  }
  if (!hollow) {
    context.fillStyle = colour;
    context.fill();
  }
  for (const [stroke, width] of hollow ? [['rgba(0, 0, 0, 0.55)', 3], [colour, 1.5]] : [['rgba(0, 0, 0, 0.55)', 1]]) {
    context.lineWidth = width;
    context.strokeStyle = stroke;
    context.stroke();
  }
}

function draw() {
  if (!pair) return;
  layout();
  colours = {how: $('colour').value, in: css('--in'), out: css('--out'), text: css('--text')};
  context.clearRect(0, 0, canvas.width, canvas.height);
  windows.forEach((b, i) => {
    const p = wanted(pair.photos[i]);
    context.save();
    context.beginPath();
    context.rect(b.left, b.top, b.width, b.height);
    context.clip();
    context.imageSmoothingEnabled = b.scale * p.width < 4 * (p.image.naturalWidth || 1);
    if (p.image.complete && p.image.naturalWidth)
      context.drawImage(p.image, b.x, b.y, p.width * b.scale, p.height * b.scale);
    if (asked && asked.to === i && asked.heat) {
      context.fillStyle = 'rgba(0, 0, 0, 0.55)';
      context.fillRect(b.x, b.y, p.width * b.scale, p.height * b.scale);
      context.imageSmoothingEnabled = true;
      context.drawImage(asked.heat, b.x, b.y, p.width * b.scale, p.height * b.scale);
    }
    context.restore();
  });
  const list = shown(), size = Math.min(1, windows[0].width / 600);
  const radius = Math.min(7, (2.6 * Math.sqrt(view.zoom) + 0.6) * size + 0.4);
  for (const k of list) {
    const m = pair.matches[k], colour = colourOf(k), square = !isInlier(k), hollow = removedBy(k) > 0;
    const a = toCanvas(0, m[0], m[1]), b = toCanvas(1, m[2], m[3]);
    const ina = within(0, ...a), inb = within(1, ...b);
    if ($('lines').checked && ina && inb) {
      context.globalAlpha = 0.5;
      context.strokeStyle = colour;
      context.lineWidth = 1;
      context.beginPath(); context.moveTo(...a); context.lineTo(...b); context.stroke();
      context.globalAlpha = 1;
    }
    if (ina && !(asked && asked.to === 0)) dot(...a, radius, colour, square, hollow);  // they would hide the heat
    if (inb && !(asked && asked.to === 1)) dot(...b, radius, colour, square, hollow);
  }
  if (hovered >= 0) {
    const m = pair.matches[hovered], a = toCanvas(0, m[0], m[1]), b = toCanvas(1, m[2], m[3]);
    context.strokeStyle = colours.text;
    context.lineWidth = 1.5;
    if (within(0, ...a) && within(1, ...b)) {
      context.beginPath(); context.moveTo(...a); context.lineTo(...b); context.stroke();
    }
    for (const [i, q] of [[0, a], [1, b]])
      if (within(i, ...q)) dot(...q, radius + 4, colourOf(hovered), !isInlier(hovered));
  }
  if (asked) {
    const from = toCanvas(1 - asked.to, asked.x, asked.y);
    if (within(1 - asked.to, ...from)) cross(...from);
    if (asked.best) {
      const q = toCanvas(asked.to, ...asked.best);
      if (within(asked.to, ...q)) cross(...q);
    }
  }
}
function cross(x, y) {
  for (const [colour, width] of [['#000', 4], ['#fff', 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    context.arc(x, y, 9, 0, 7);
    context.moveTo(x - 14, y); context.lineTo(x - 4, y); context.moveTo(x + 4, y); context.lineTo(x + 14, y);
    context.moveTo(x, y - 14); context.lineTo(x, y - 4); context.moveTo(x, y + 4); context.lineTo(x, y + 14);
    context.stroke();
  }
}

// ---- Where does a pixel go? By the coarse features that the page carries.

function gridOf(i) {
  const g = pair.grids ? pair.grids[i] : pair.photos[i].grid;
  if (!g) return null;
  if (!g.values) g.values = bytes(g.bytes);
  return g;
}
function ask(i, x, y) {
  const p = pair.photos[i], from = gridOf(i), to = gridOf(1 - i);
  asked = null;
  if (!from || !to) return say('This page carries no features: hover a match to see where it goes.');
  const c = from.channels;
  const column = Math.min(from.columns - 1, Math.max(0, Math.floor((x + 0.5) / p.width * from.columns)));
  const row = Math.min(from.rows - 1, Math.max(0, Math.floor((y + 0.5) / p.height * from.rows)));
  const at = (row * from.columns + column) * c, query = from.values.subarray(at, at + c);
  if (query.every(v => v === 0)) return say('Where nothing of the other photo was expected, features were not computed.');
  asked = {x, y, to: 1 - i, best: null, heat: null};
  const n = to.rows * to.columns, cosine = new Float32Array(n);
  let best = 0;
  for (let k = 0; k < n; ++k) {
    let sum = 0;
    for (let v = 0; v < c; ++v) sum += query[v] * to.values[k * c + v];
    cosine[k] = sum / (127 * 127);
    if (cosine[k] > cosine[best]) best = k;
  }
  const bx = best % to.columns, by = Math.floor(best / to.columns);
  // The share of exp(cosine / T) that lies around the peak.
  let all = 0, near = 0;
  const heat = document.createElement('canvas');
  heat.width = to.columns; heat.height = to.rows;
  const pixels = heat.getContext('2d').createImageData(to.columns, to.rows);
  for (let k = 0; k < n; ++k) {
    const weight = Math.exp((cosine[k] - cosine[best]) / 0.03), cx = k % to.columns, cy = Math.floor(k / to.columns);
    all += weight;
    if (Math.max(Math.abs(cx - bx), Math.abs(cy - by)) <= 1) near += weight;
    const t = Math.exp((cosine[k] - cosine[best]) / 0.15);
    pixels.data.set([255 * Math.min(1, 2 * t), 255 * Math.max(0, 2 * t - 1) * 0.9, 40, 255 * Math.pow(t, 0.8)], 4 * k);
  }
  heat.getContext('2d').putImageData(pixels, 0, 0);
  const other = pair.photos[1 - i];
  asked.heat = heat;
  asked.best = [(bx + 0.5) * other.width / to.columns - 0.5, (by + 0.5) * other.height / to.rows - 0.5];
  asked.sure = near / all;
  say(`(${x.toFixed(0)}, ${y.toFixed(0)}) in ${'AB'[i]} looks most like (${asked.best[0].toFixed(0)}, ` +
      `${asked.best[1].toFixed(0)}) in ${'AB'[1 - i]}: ${Math.round(100 * asked.sure)} % sure, ` +
      `to about ${Math.round(other.width / to.columns)} px.`);
}

// ---- Hovering and stepping

function nearest(x, y) {
  const i = windowAt(x, y);
  let best = -1, distance = 14;
  if (i < 0) return best;
  for (const k of shown()) {
    const m = pair.matches[k], q = toCanvas(i, m[2 * i], m[2 * i + 1]);
    const d = Math.hypot(q[0] - x, q[1] - y);
    if (d < distance) { distance = d; best = k; }
  }
  return best;
}
function describe(k) {
  const m = pair.matches[k];
  say(`Match ${k + 1}: (${m[0].toFixed(1)}, ${m[1].toFixed(1)}) in A, (${m[2].toFixed(1)}, ${m[3].toFixed(1)}) in B; ` +
      `score ${m[4].toFixed(3)}` + (removedBy(k) ? `; removed by: ${pair.filters[removedBy(k) - 1][0]}`
                                             : pair.confident ? `, confidence ${m[5].toFixed(2)}` : '') +
      (pair.verified ? (isInlier(k) ? '; an inlier.' : '; an outlier.') : '.'));
}
function step(by) {
  const list = shown();
  if (!list.length) return;
  const at = list.indexOf(hovered);
  hovered = list[at < 0 ? (by > 0 ? 0 : list.length - 1) : (at + by + list.length) % list.length];
  describe(hovered);
  draw();
}
function say(text) { $('status').textContent = text; }
function count() {
  refresh();
  const share = k => pair.verified ? `; ${k.filter(isInlier).length} of these ` : '';
  const list = shown(), matches = list.filter(k => !removedBy(k)), all = pair.matches.filter(m => !m[7]).length;
  let text = `${matches.length} of ${all < pair.found ? 'the best ' : ''}${all} matches shown` +
      (pair.verified ? share(matches) + 'are inliers.' : '.');
  if (list.length > matches.length) {
    const others = list.filter(removedBy);
    text += ` And ${others.length} that filters removed` +
        (pair.verified ? share(others) + `agree with the ${pair.geometry}.` : '.');
  }
  say(text);
}

// ---- Moving

function zoomBy(factor, x, y) {  // about a place on the canvas
  const i = Math.max(0, windowAt(x, y)), p = pair.photos[i], [px, py] = toPhoto(i, x, y);
  view.zoom = Math.min(40, Math.max(1, view.zoom * factor));
  layout();
  const [qx, qy] = toPhoto(i, x, y);
  moveBy((px - qx) / p.width, (py - qy) / p.height);
}
function moveBy(dx, dy) {
  const limit = v => Math.min(1, Math.max(0, v));
  view.x = limit(view.x + dx);
  view.y = limit(view.y + dy);
  if (view.zoom === 1) view.x = view.y = 0.5;
  draw();
}
const middle = (i = 0) => [windows[i].left + windows[i].width / 2, windows[i].top + windows[i].height / 2];

const pointers = new Map();
let moved = 0;
canvas.addEventListener('pointerdown', e => {
  canvas.setPointerCapture(e.pointerId);
  pointers.set(e.pointerId, [e.offsetX, e.offsetY]);
  moved = 0;
});
canvas.addEventListener('pointermove', e => {
  const was = pointers.get(e.pointerId), now = [e.offsetX, e.offsetY];
  if (!was) {
    const k = nearest(...now);
    if (k !== hovered) {
      hovered = k;
      if (k >= 0) describe(k);
      draw();
    }
    return;
  }
  if (pointers.size === 2) {  // pinch
    const other = [...pointers].find(([id]) => id !== e.pointerId)[1];
    const spread = p => Math.hypot(p[0] - other[0], p[1] - other[1]);
    zoomBy(spread(now) / Math.max(1, spread(was)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  } else {
    const i = Math.max(0, windowAt(...was)), p = pair.photos[i];
    moveBy(-(now[0] - was[0]) / windows[i].scale / p.width, -(now[1] - was[1]) / windows[i].scale / p.height);
  }
  moved += Math.hypot(now[0] - was[0], now[1] - was[1]);
  pointers.set(e.pointerId, now);
});
const released = e => {
  if (!pointers.delete(e.pointerId) || e.type !== 'pointerup' || moved > 5) return;
  const i = windowAt(e.offsetX, e.offsetY);
  if (i < 0) return;
  const [x, y] = toPhoto(i, e.offsetX, e.offsetY), p = pair.photos[i];
  if (x >= -0.5 && y >= -0.5 && x < p.width - 0.5 && y < p.height - 0.5) ask(i, x, y);
  else asked = null;
  draw();
};
canvas.addEventListener('pointerup', released);
canvas.addEventListener('pointercancel', released);
canvas.addEventListener('pointerleave', () => { hovered = -1; draw(); });
canvas.addEventListener('wheel', e => {
  e.preventDefault();
  zoomBy(Math.exp(-e.deltaY / 400), e.offsetX, e.offsetY);
}, {passive: false});
canvas.addEventListener('keydown', e => {
  const by = 0.1 / view.zoom;
  const keys = {
    ArrowLeft: () => moveBy(-by, 0), ArrowRight: () => moveBy(by, 0),
    ArrowUp: () => moveBy(0, -by), ArrowDown: () => moveBy(0, by),
    '+': () => zoomBy(1.3, ...middle()), '=': () => zoomBy(1.3, ...middle()), '-': () => zoomBy(1 / 1.3, ...middle()),
    0: reset, n: () => step(1), p: () => step(-1),
    Enter: () => { const i = e.shiftKey ? 1 : 0; ask(i, ...toPhoto(i, ...middle(i))); draw(); },
    Escape: () => { asked = null; hovered = -1; count(); draw(); },
  };
  const action = keys[e.key.length === 1 ? e.key.toLowerCase() : e.key];
  if (!action || e.ctrlKey || e.metaKey || e.altKey) return;
  e.preventDefault();
  action();
});
// A photo that is dropped here must not take the page's place.
for (const event of ['dragover', 'drop']) addEventListener(event, e => e.preventDefault());
function reset() { asked = null; Object.assign(view, {x: 0.5, y: 0.5, zoom: 1}); draw(); }
$('in').onclick = () => zoomBy(1.5, ...middle());
$('out').onclick = () => zoomBy(1 / 1.5, ...middle());
$('reset').onclick = reset;
$('next').onclick = () => step(1);
$('previous').onclick = () => step(-1);
$('controls').addEventListener('input', () => {
  $('least-text').textContent = (+$('least').value).toFixed(2);
  hovered = -1;
  count();
  draw();
});
new ResizeObserver(draw).observe(canvas);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);

// ---- Pairs

function open(index) {
  pair = data.pairs[index];
  pair.photos = [data.photos[pair.a], data.photos[pair.b]];
  asked = null;
  hovered = -1;
  const [a, b] = pair.photos;
  document.title = $('title').textContent = `${a.name} – ${b.name}`;
  $('summary').textContent = `${pair.found} matches` +
    (pair.verified ? `, ${pair.inliers} of them inliers of a ${pair.geometry}` : '') +
    (pair.same >= 0 ? `; same scene: ${pair.same.toFixed(2)}` +
      (pair.same < 0.5 ? ' – the photos probably show different things' : '') : '');
  $('least-what').textContent = pair.confident ? 'confidence' : 'score';
  $('outliers').closest('label').hidden = !pair.verified;
  $('filters').replaceChildren(...pair.filters.map(([name, removed], k) => {
    const label = document.createElement('label'), box = document.createElement('input');
    box.type = 'checkbox';
    const some = pair.matches.filter(m => m[7] === k + 1).length;
    label.append(box, ` ${k ? '' : 'removed by '}${name} (${some < removed ? some + ' of ' : ''}${removed})`);
    return label;
  }));
  document.querySelectorAll('#pairs tbody tr').forEach(mark);
  count();
  draw();
}
function mark(row) {
  const here = data.pairs[+row.dataset.index] === pair;
  if (here) row.setAttribute('aria-current', 'true');
  else row.removeAttribute('aria-current');
  row.tabIndex = here ? 0 : -1;  // one stop of the tab key; arrows move on
}
function thumbnail(p, target, left) {
  const paint = () => {
    const w = target.width / 2 - 1, s = Math.min(w / p.image.naturalWidth, target.height / p.image.naturalHeight);
    target.getContext('2d').drawImage(p.image, left * (w + 2) + (w - p.image.naturalWidth * s) / 2, 0,
                                      p.image.naturalWidth * s, p.image.naturalHeight * s);
  };
  wanted(p);
  if (p.image.complete) paint(); else p.image.addEventListener('load', paint);
}
if (data.pairs.length > 1) {
  const box = $('pairs'), body = box.querySelector('tbody'), keys = ['name0', 'name1', 'matches', 'inliers', 'same'];
  const rows = data.pairs.map((q, index) => ({index, values: {
    name0: data.photos[q.a].name, name1: data.photos[q.b].name, matches: q.found, inliers: q.inliers, same: q.same}}));
  const rowOf = ({index, values}, place) => {
    const row = document.createElement('tr'), q = data.pairs[index];
    row.dataset.index = index;
    row.setAttribute('aria-rowindex', place + 2);  // the first is the head's
    const picture = row.insertCell().appendChild(document.createElement('canvas'));
    picture.width = 224; picture.height = 84;
    for (const key of keys) {
      const cell = row.insertCell(), v = values[key];
      if (typeof v === 'number') cell.className = 'number';
      cell.textContent = typeof v !== 'number' ? v : v < 0 ? '–' : key === 'same' ? v.toFixed(2) : v;
    }
    row.onclick = () => open(index);
    row.onkeydown = e => {
      if (e.key === 'ArrowDown' && !row.nextElementSibling) more();
      const next = {ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling}[e.key];
      if (next) next.focus();
      else if (e.key === 'Enter' || e.key === ' ') open(index);
      else return;
      e.preventDefault();
    };
    new IntersectionObserver((seen, observer) => {
      if (!seen.some(s => s.isIntersecting)) return;
      observer.disconnect();
      thumbnail(data.photos[q.a], picture, 0);
      thumbnail(data.photos[q.b], picture, 1);
    }).observe(row);
    mark(row);
    return row;
  };
  // Thousands of rows take seconds to lay out; more are made when the last one comes near.
  const more = () => {
    const have = body.childElementCount;
    body.append(...rows.slice(have, have + 40).map((r, k) => rowOf(r, have + k)));
  };
  box.hidden = false;
  box.querySelector('table').setAttribute('aria-rowcount', rows.length + 1);
  box.onscroll = () => { if (box.scrollTop + 2 * box.clientHeight > box.scrollHeight) more(); };
  const sort = (key, down) => {
    const sign = down ? -1 : 1;
    rows.sort((r, s) => sign * (r.values[key] < s.values[key] ? -1 : r.values[key] > s.values[key] ? 1 : 0));
    body.replaceChildren();
    box.scrollTop = 0;
    more();
    if (!body.querySelector('[tabindex="0"]')) body.rows[0].tabIndex = 0;
    document.querySelectorAll('#pairs th').forEach(th => {
      const button = th.querySelector('button');
      if (button && button.dataset.key === key) th.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      else th.removeAttribute('aria-sort');
    });
  };
  document.querySelectorAll('#pairs thead button').forEach(button => {
    button.onclick = () => sort(button.dataset.key,
      button.parentElement.getAttribute('aria-sort') !== 'descending' && !button.dataset.key.startsWith('name') ||
      button.parentElement.getAttribute('aria-sort') === 'ascending');
  });
  sort(rows.some(r => r.values.same >= 0) ? 'same' : 'matches', true);
  open(rows[0].index);
} else {
  open(0);
}
for (const [name, value] of data.about) {
  const term = document.createElement('dt'), text = document.createElement('dd');
  term.textContent = name;
  text.textContent = value;
  $('about').append(term, text);
}
