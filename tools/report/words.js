/*
 * Shows the data of the page.  Text from the trail is hostile: it only ever
 * becomes the text of a node, never markup.
 *
 * The page's one script is this file and, in this order, rows.js, table.js,
 * overview.js, charts.js, lists.js and start.js (tools/report_files.c puts them
 * together): one function, which begins here and ends there.
 */
'use strict';
(() => {
const data = JSON.parse(document.getElementById('data').textContent);
const locale = data.lang === 'ja' ? 'ja-JP' : 'en-GB';
const words = new Map(Object.entries(data.words));
const $ = id => document.getElementById(id);

/* ---- Words, numbers, times ----------------------------------------------- */

const number = new Intl.NumberFormat(locale);
const fraction = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
const format = options =>
    new Intl.DateTimeFormat(locale, { timeZone: 'UTC', ...options });
const asDay = format({ year: 'numeric', month: 'short', day: 'numeric' });
const asShortDay = format({ month: 'short', day: 'numeric' });
const asTime = format({ year: 'numeric', month: '2-digit', day: '2-digit',
    hour: '2-digit', minute: '2-digit', second: '2-digit',
    hourCycle: 'h23' });
const asWeekday = format({ weekday: 'short' });

function t(key, ...values) {
    return (words.get(key) ?? key).replace(/\{(\d)\}/g,
        (all, i) => values[i] ?? '');
}

/* The text for a name of ours, or the name itself. */
const named = (prefix, name) => words.get(prefix + '.' + name) ?? name;

/* What could hide or turn the text around it is shown as a sign. */
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const visible = text => String(text).replace(HIDDEN, '\ufffd');

/* The wall clock of the report's zone, as if it were UTC. */
function local(ms) {
    let minutes = data.offsets[0][1];
    for (const [from, offset] of data.offsets) {
        if (ms >= from) {
            minutes = offset;
        }
    }
    return ms + minutes * 60000;
}

const time = ms => asTime.format(local(ms));
const day = ms => asDay.format(local(ms));

function duration(ms) {
    const minutes = Math.floor(ms / 60000);
    if (minutes < 1) {
        return t('duration.seconds', number.format(Math.round(ms / 1000)));
    }
    return minutes < 60 ? t('duration.minutes', number.format(minutes))
        : t('duration.hours', number.format(Math.floor(minutes / 60)),
            minutes % 60);
}

function size(bytes) {
    const units = ['B', 'KB', 'MB', 'GB', 'TB'];
    let i = 0;
    while (bytes >= 1000 && i < units.length - 1) {
        bytes /= 1000;
        i++;
    }
    return fraction.format(bytes) + ' ' + units[i];
}

/* ---- Nodes --------------------------------------------------------------- */

function node(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes ?? {})) {
        if (name === 'click') {
            made.addEventListener('click', value);
        } else if (value === true) {
            made.setAttribute(name, '');
        } else if (value !== false && value !== null && value !== undefined) {
            made.setAttribute(name, value);
        }
    }
    made.append(...children.filter(child => child !== null));
    return made;
}

const when = ms => node('span', { class: 'when' }, time(ms));
const foreign = text => node('bdi', null, visible(text));

/* A table; cells are text or nodes, numbers stand to the right. */
function table(caption, heads, rows, numeric, kind = null) {
    const align = i => numeric.includes(i) ? 'number' : null;
    return node('table', { class: kind }, node('caption', null, caption),
        node('thead', null, node('tr', null, ...heads.map((head, i) =>
            node('th', { scope: 'col', class: align(i) }, head)))),
        node('tbody', null, ...rows.map(row => node('tr', null,
            ...row.map((cell, i) => node('td', { class: align(i),
                'data-label': heads[i] }, node('div', null, cell)))))));
}

const link = (text, filter) =>
    node('button', { type: 'button', class: 'link', click: () => open(filter) },
        text);
