/*
 * Shows the data of the page.  Text from the trail is hostile: it only ever
 * becomes the text of a node, never markup.
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

/* ---- Rows ---------------------------------------------------------------- */

const texts = data.dictionary;
const rows = data.rows;
const COUNT = rows.count;
const NONE = -1;
const TEXTS = ['event', 'reason', 'user', 'facility', 'address', 'service',
    'action', 'patient', 'study', 'session', 'purpose', 'detail', 'agent',
    'factors'];

/* A column: -n are n rows without, the others follow each other. */
function unpack(name) {
    const wide = ['number', 'time', 'bytes', 'duration', 'closed'];
    const column = wide.includes(name) ? new Float64Array(COUNT)
        : new Int32Array(COUNT);
    const differs = name === 'number' || name === 'time';
    let at = 0, before = 0;
    column.fill(name === 'off' ? 0 : NONE);
    for (const value of rows.columns[name]) {
        if (value < 0) {
            at -= value;
            continue;
        }
        before = !differs ? value
            : before + (value % 2 === 0 ? value / 2 : -(value + 1) / 2);
        column[at++] = before;
    }
    return column;
}

const columns = {};
for (const name of Object.keys(rows.columns)) {
    columns[name] = unpack(name);
}
rows.columns = null;
const hashes = atob(rows.hashes);
rows.hashes = null;

function leafHash(row) {
    let text = '';
    for (let i = row * 32; i < row * 32 + 32; i++) {
        text += hashes.charCodeAt(i).toString(16).padStart(2, '0');
    }
    return text;
}

const textOf = (name, row) =>
    columns[name][row] === NONE ? '' : texts[columns[name][row]];
const numberOf = text => textNumbers.get(text) ?? -2;
const textNumbers = new Map(texts.map((text, i) => [text, i]));
const lower = texts.map(text => text.toLowerCase());
const localTimes = columns.time.map(local);

const facilityName = id => Object.hasOwn(data.names, id)
    ? data.names[id] : id;
const countryOf = address => data.countries
    && Object.hasOwn(data.countries, address) ? data.countries[address] : '';
const regions = new Intl.DisplayNames([locale], { type: 'region' });
function country(code) {
    try {
        return regions.of(code) ?? code;
    } catch {
        return code;
    }
}

/* ---- Which rows ---------------------------------------------------------- */

const event = new Map();
for (const name of ['access', 'request', 'denied', 'sign-in', 'code-alert',
    'emergency-on', 'gap', 'tail-cut', 'lost', 'unrecorded', 'recording-off',
    'policy-changed', 'enrollment', 'key-changed', 'trail-read', 'session']) {
    event.set(name, numberOf(name));
}
const isEvent = (...names) => {
    const wanted = names.map(name => event.get(name));
    return row => wanted.includes(columns.event[row]);
};
const isAccess = isEvent('access', 'request');
const isAlert = isEvent('code-alert');
const isSignIn = isEvent('sign-in');
const VIEW = numberOf('view'), DOWNLOAD = numberOf('download');

/* The figures of the overview: their records. */
const KINDS = {
    rows: () => true,
    accesses: isAccess,
    views: row => isAccess(row) && columns.action[row] === VIEW,
    users: row => columns.outcome[row] === 0 && columns.user[row] !== NONE,
    facilities: row => columns.outcome[row] === 0
        && columns.facility[row] !== NONE,
    patients: row => isAccess(row) && columns.patient[row] !== NONE,
    studies: row => isAccess(row) && columns.study[row] !== NONE,
    denied: isEvent('denied'),
    off_hours: row => columns.off[row] === 1,
    failed_codes: row => isAlert(row)
        || isSignIn(row) && columns.outcome[row] > 0,
    exports: row => isAccess(row) && columns.action[row] === DOWNLOAD,
    emergencies: isEvent('emergency-on'),
    gaps: isEvent('gap', 'tail-cut', 'lost', 'unrecorded', 'recording-off'),
    policy_changes: isEvent('policy-changed', 'enrollment', 'key-changed'),
    trail_reads: isEvent('trail-read'),
};

const form = $('filter');
let extra = {};      /* what a figure or a chart asked for */
let found = new Int32Array(0);

const dayStart = text => Date.parse(text + 'T00:00:00Z');

/* Conditions on a row, those that leave least to the others first. */
function conditions() {
    const asked = Object.fromEntries(new FormData(form));
    const list = [];
    const exactly = (name, text) => {
        const wanted = numberOf(text), column = columns[name];
        list.push(row => column[row] === wanted);
    };
    for (const name of ['user', 'facility', 'event']) {
        if (asked[name] !== '') {
            exactly(name, asked[name]);
        }
    }
    for (const name of ['reason', 'session', 'action']) {
        if (extra[name] !== undefined) {
            exactly(name, extra[name]);
        }
    }
    if (asked.from !== '') {
        const from = dayStart(asked.from);
        list.push(row => localTimes[row] >= from);
    }
    if (asked.to !== '') {
        const to = dayStart(asked.to) + 86400000;
        list.push(row => localTimes[row] < to);
    }
    if (extra.kind !== undefined) {
        list.push(KINDS[extra.kind]);
    }
    if (extra.hour !== undefined) {
        list.push(row => weekHour(localTimes[row]) === extra.hour);
    }
    if (extra.numbers !== undefined) {
        const wanted = new Set(extra.numbers);
        list.push(row => wanted.has(columns.number[row]));
    }
    if (extra.country !== undefined) {
        const wanted = new Set(Object.keys(data.countries)
            .filter(address => data.countries[address] === extra.country)
            .map(numberOf));
        list.push(row => wanted.has(columns.address[row]));
    }
    const patient = asked.patient.trim().toLowerCase();
    if (patient !== '') {
        const fits = lower.map(text => text.includes(patient));
        list.push(row => columns.patient[row] !== NONE
            && fits[columns.patient[row]]);
    }
    for (const part of asked.text.toLowerCase().split(/\s+/)) {
        if (part !== '') {
            list.push(withText(part));
        }
    }
    return list;
}

/* Of the few texts that are shown in other words: those words. */
const LABELS = { event: 'event', reason: 'reason', action: 'action',
    service: 'service', purpose: 'patient.purpose', facility: null };
const labels = {};
for (const [name, prefix] of Object.entries(LABELS)) {
    labels[name] = [...new Set(columns[name])]
        .filter(value => value !== NONE)
        .map(value => [value, (prefix === null ? facilityName(texts[value])
            : named(prefix, texts[value])).toLowerCase()]);
}

/* Whether a leaf's hash begins with these hexadecimal digits. */
function hashBegins(row, digits) {
    for (let i = 0; i < digits.length; i++) {
        const byte = hashes.charCodeAt(row * 32 + (i >> 1));
        if ((i % 2 === 0 ? byte >> 4 : byte & 15) !== digits[i]) {
            return false;
        }
    }
    return true;
}

/* A text may be part of anything that a row shows, or be its number. */
function withText(part) {
    const fits = new Uint8Array(lower.length);
    for (let i = 0; i < lower.length; i++) {
        fits[i] = lower[i].includes(part) ? 1 : 0;
    }
    const any = fits.includes(1);
    const asked = [];
    for (const name of TEXTS) {
        const shown = (labels[name] ?? []).filter(([, text]) =>
            text.includes(part));
        if (shown.length > 0) {
            const own = fits.slice();
            shown.forEach(([value]) => {
                own[value] = 1;
            });
            asked.push([columns[name], own]);
        } else if (any) {
            asked.push([columns[name], fits]);
        }
    }
    const wanted = /^#?\d+$/.test(part) ? Number(part.replace('#', '')) : NONE;
    const digits = /^[0-9a-f]{12,64}$/.test(part)
        ? [...part].map(digit => parseInt(digit, 16)) : null;
    return row => {
        for (let i = 0; i < asked.length; i++) {
            const value = asked[i][0][row];
            if (value !== NONE && asked[i][1][value] === 1) {
                return true;
            }
        }
        return columns.number[row] === wanted
            || digits !== null && hashBegins(row, digits);
    };
}

function filter() {
    const begun = performance.now();
    const list = conditions();
    const fitting = new Int32Array(COUNT);
    let count = 0;
    next: for (let row = COUNT - 1; row >= 0; row--) {
        for (const fits of list) {
            if (!fits(row)) {
                continue next;
            }
        }
        fitting[count++] = row;
    }
    found = fitting.subarray(0, count);
    active = count > 0 ? 0 : NONE;
    grid.scrollTop = 0;
    show();
    $('found').textContent = t('found', number.format(count),
        number.format(COUNT));
    chips();
    grid.dataset.milliseconds = (performance.now() - begun).toFixed(1);
}

/* What a figure or chart asked for, to be taken away again. */
function chips() {
    const names = {
        kind: value => t('figure.' + value),
        reason: value => named('reason', value),
        session: value => t('field.session') + ' ' + visible(value),
        action: value => named('action', value),
        hour: value => t('hour.chip', weekday(Math.floor(value / 24)),
            value % 24),
        numbers: () => t('finding'),
        country: value => country(value),
    };
    $('chips').replaceChildren(...Object.keys(extra).map(key =>
        node('button', { type: 'button', class: 'chip',
            'aria-label': t('chip.remove', names[key](extra[key])),
            click: () => {
                delete extra[key];
                filter();
                grid.focus();
            } }, names[key](extra[key]) + ' \u00d7')));
}

/* Opens the table with nothing but these conditions. */
function open(asked) {
    extra = {};
    form.reset();
    for (const [name, value] of Object.entries(asked)) {
        const field = form.elements.namedItem(name);
        if (field !== null) {
            field.value = value;
        } else {
            extra[name] = value;
        }
    }
    filter();
    $('events').scrollIntoView();
    grid.focus({ preventScroll: true });
}

form.addEventListener('input', filter);
form.addEventListener('submit', submitted => submitted.preventDefault());
form.addEventListener('reset', () => {
    extra = {};
    queueMicrotask(filter);
});

function choices(name, label) {
    const used = [...new Set(columns[name])].filter(value => value !== NONE)
        .map(value => texts[value]);
    const shown = used.map(text => [text, visible(label(text))]);
    shown.sort((a, b) => a[1].localeCompare(b[1], locale));
    form.elements.namedItem(name).append(...shown.map(([value, text]) =>
        node('option', { value }, text)));
}

/* ---- The table ----------------------------------------------------------- */

const grid = $('grid');
const body = node('div', { class: 'grid-body', role: 'rowgroup' });
let active = NONE;
let rowHeight = 37;

const CELLS = ['entry', 'time', 'event', 'user', 'facility', 'address',
    'patient', 'what'];

function what(row) {
    const parts = [];
    if (columns.reason[row] !== NONE) {
        parts.push(named('reason', textOf('reason', row)));
    }
    if (columns.count[row] > 1) {
        parts.push(t('times', number.format(columns.count[row])));
    }
    if (columns.purpose[row] !== NONE) {
        parts.push(named('patient.purpose', textOf('purpose', row)));
    }
    if (columns.instances[row] > 0) {
        parts.push(t('images', number.format(columns.instances[row])));
    }
    if (columns.detail[row] !== NONE) {
        parts.push(textOf('detail', row));
    }
    return parts.join(' \u00b7 ');
}

function eventName(row) {
    const name = textOf('event', row);
    const action = textOf('action', row);
    if ((name === 'access' || name === 'request') && action !== '') {
        return named('action', action);
    }
    return named('event', name);
}

const cells = {
    entry: row => number.format(columns.number[row]),
    time: row => asTime.format(localTimes[row]),
    event: eventName,
    user: row => textOf('user', row),
    facility: row => facilityName(textOf('facility', row)),
    address: row => textOf('address', row),
    patient: row => textOf('patient', row),
    what,
};

function gridRow(at) {
    const row = found[at];
    const made = node('div', { role: 'row', id: 'row-' + at,
        'aria-rowindex': at + 2,
        'aria-selected': at === active ? 'true' : 'false',
        class: 'grid-row' + (columns.outcome[row] > 0 ? ' failed' : '')
            + (at === active ? ' active' : '') },
        ...CELLS.map(name => {
            const text = visible(cells[name](row));
            return node('div', { role: 'gridcell', class: name, title: text },
                node('bdi', null, text));
        }));
    made.style.top = at * rowHeight + 'px';
    made.addEventListener('click', () => {
        active = at;
        show();
        details(row);
    });
    return made;
}

/* Only the rows in sight are there. */
function show() {
    rowHeight = parseFloat(getComputedStyle(document.documentElement)
        .getPropertyValue('--row'));
    const first = Math.max(0, Math.floor(grid.scrollTop / rowHeight) - 4);
    const last = Math.min(found.length,
        first + Math.ceil(grid.clientHeight / rowHeight) + 8);
    const shown = [];
    for (let at = first; at < last; at++) {
        shown.push(gridRow(at));
    }
    body.style.height = found.length * rowHeight + 'px';
    body.replaceChildren(...shown);
    grid.setAttribute('aria-rowcount', found.length + 1);
    if (active >= first && active < last) {
        grid.setAttribute('aria-activedescendant', 'row-' + active);
    } else {
        grid.removeAttribute('aria-activedescendant');
    }
}

function move(to) {
    const head = grid.firstChild.offsetHeight;
    const room = grid.clientHeight - head;
    active = Math.max(0, Math.min(found.length - 1, to));
    const top = active * rowHeight;
    if (top < grid.scrollTop) {
        grid.scrollTop = top;
    } else if (top + rowHeight > grid.scrollTop + room) {
        grid.scrollTop = top + rowHeight - room;
    }
    show();
}

grid.addEventListener('keydown', pressed => {
    const page = Math.max(1,
        Math.floor(grid.clientHeight / rowHeight) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page,
        PageUp: -page, Home: -found.length, End: found.length };
    if (found.length === 0 || pressed.ctrlKey || pressed.metaKey
        || pressed.altKey) {
        return;
    }
    if (Object.hasOwn(steps, pressed.key)) {
        pressed.preventDefault();
        move(active + steps[pressed.key]);
    } else if (pressed.key === 'Enter' || pressed.key === ' ') {
        pressed.preventDefault();
        details(found[active]);
    }
});
grid.addEventListener('scroll', show, { passive: true });
addEventListener('resize', show);

/* ---- One record ---------------------------------------------------------- */

function details(row) {
    const fields = [];
    const add = (key, value) => {
        if (value !== '' && value !== null) {
            fields.push(node('dt', null, t('field.' + key)),
                node('dd', null, typeof value === 'string' ? foreign(value)
                    : value));
        }
    };
    const code = text => node('code', null, text);
    const address = textOf('address', row);
    const positive = (name, show) =>
        columns[name][row] > 0 ? show(columns[name][row]) : '';
    add('time', time(columns.time[row]) + ' ' + data.zone);
    add('event', named('event', textOf('event', row)));
    add('outcome', t('outcome.' + columns.outcome[row]));
    add('reason', named('reason', textOf('reason', row)));
    add('count', positive('count', number.format));
    for (const name of ['user', 'factors', 'facility', 'address', 'service',
        'session', 'purpose', 'action', 'patient', 'study']) {
        let text = textOf(name, row);
        if (name === 'facility' && facilityName(text) !== text) {
            text = facilityName(text) + ' (' + text + ')';
        } else if (name === 'address' && countryOf(text) !== '') {
            text += ' (' + country(countryOf(text)) + ')';
        } else if (text !== '' && (name === 'service' || name === 'action')) {
            text = named(name, text);
        } else if (name === 'purpose') {
            text = named('patient.purpose', text);
        }
        add(name, text);
    }
    add('off', columns.off[row] === 1 ? t('yes') : '');
    add('duration', columns.duration[row] >= 0
        ? duration(columns.duration[row]) : '');
    add('requests', positive('requests', number.format));
    add('instances', positive('instances', number.format));
    add('bytes', positive('bytes', size));
    add('detail', textOf('detail', row));
    add('agent', textOf('agent', row));
    add('number', code(String(columns.number[row])));
    add('closed', columns.closed[row] >= 0
        ? code(String(columns.closed[row])) : null);
    add('hash', code(leafHash(row)));
    $('record-title').textContent = t('record', eventName(row));
    $('record-fields').replaceChildren(...fields);
    $('record').showModal();
}

/* ---- Heading, verdict, overview ------------------------------------------ */

function pairs(list) {
    return list.filter(([, value]) => value !== null).map(([key, value]) =>
        node('div', null, node('dt', null, t(key)),
            node('dd', null, foreign(value))));
}

function heading() {
    $('period').textContent = t('period', day(data.from), day(data.to - 1));
    $('about').append(...pairs([
        ['about.trail', data.origin],
        ['about.zone', data.zone],
        ['about.facility', data.facility === null ? null
            : facilityName(data.facility)],
        ['about.user', data.user],
        ['about.size', number.format(data.index_size)],
    ]));
    $('made').textContent = t('made', time(data.made), data.zone,
        visible(data.by));
}

const STATES = { ok: 'good', unsealed: 'good', gap: 'warn', tampered: 'bad',
    none: 'warn' };

function notice(kind, title, ...lines) {
    return node('div', { class: 'notice ' + kind },
        node('strong', null, title),
        ...lines.map(line => node('p', null, line)));
}

function verdict() {
    const checked = data.verify;
    const lines = [t('verify.' + checked.result + '.text',
        number.format(checked.sealed), number.format(checked.unsealed ?? 0),
        number.format(checked.gaps ?? 0))];
    const made = notice(STATES[checked.result],
        t('verify.' + checked.result), ...lines);
    if (checked.root !== undefined) {
        made.append(node('p', null, t('verify.root',
            number.format(checked.sealed)), ' ', node('code', null,
            checked.root)));
    }
    for (const line of checked.findings ?? []) {
        made.append(node('p', null, foreign(line)));
    }
    $('verdict').append(made);
    const review = data.review;
    $('verdict').append(notice(review.overdue ? 'warn' : 'good',
        review.any ? t('review.last', time(review.time), visible(review.user))
            : t('review.never'),
        t(review.overdue ? 'review.overdue' : 'review.due',
            asDay.format(dayStart(review.due)))));
}

const GROUPS = [
    ['accesses', 'views', 'patients', 'studies', 'users', 'facilities'],
    ['denied', 'failed_codes', 'off_hours', 'exports', 'emergencies',
        'no_factor', 'dormant'],
    ['gaps', 'heartbeats', 'policy_changes', 'trail_reads', 'rows', 'records'],
];
const ALERTS = ['denied', 'failed_codes', 'emergencies', 'gaps', 'no_factor'];

function figure(name) {
    const value = name === 'no_factor' || name === 'dormant'
        ? data[name].length : data.figures[name];
    const inside = [node('b', null, number.format(value)),
        node('span', null, t('figure.' + name))];
    const list = { no_factor: 'list-no_factor', dormant: 'list-dormant' }[name];
    if (value === 0 || list === undefined && KINDS[name] === undefined) {
        return node('div', { class: 'figure' }, ...inside);
    }
    return node('button', { type: 'button', class: 'figure'
        + (ALERTS.includes(name) ? ' alert' : ''),
        click: () => {
            if (list === undefined) {
                open({ kind: name });
            } else {
                $(list).scrollIntoView();
                $(list).focus({ preventScroll: true });
            }
        } }, ...inside);
}

function overview() {
    $('figures').append(...GROUPS.map(names =>
        node('div', { class: 'group' }, ...names.map(figure))),
        node('p', { class: 'hint' },
            t(data.hours ? 'hours.policy' : 'hours.usual')));
}

/* ---- Charts -------------------------------------------------------------- */

const BLUE = '#0b5394', RED = '#a4211a', GREY = '#7b8794', INK = '#1a2430';
const weekday = at => asWeekday.format(Date.UTC(2024, 0, 1 + at));
const weekHour = at => (Math.floor(at / 3600000) + 72) % 168;
const dayText = at => new Date(at * 86400000).toISOString().slice(0, 10);

const charts = [];

function chart(id, summary, options, asTable) {
    const canvas = node('canvas', { role: 'img', 'aria-label':
        t('chart.' + id) + '. ' + summary });
    $('charts-list').append(node('div', { class: 'card' },
        node('h3', null, t('chart.' + id)),
        node('div', { class: 'canvas' }, canvas),
        node('details', null, node('summary', null, t('as_table')),
            node('div', { class: 'scroll', tabindex: 0, role: 'region',
                'aria-label': t('chart.' + id) }, asTable))));
    const { onRow, ...rest } = options;
    charts.push(new Chart(canvas, { ...rest, options: { responsive: true,
        maintainAspectRatio: false, animation: false, locale,
        ...rest.options,
        onClick: (clicked, elements) => {
            if (elements.length > 0) {
                onRow(elements[0].index, elements[0].datasetIndex);
            }
        } } }));
}

/* A name beside an axis: as much as there is room for. */
function brief(text) {
    const shown = visible(text);
    return shown.length > 24 ? shown.slice(0, 23) + '\u2026' : shown;
}

const whole = { beginAtZero: true, ticks: { precision: 0 } };

function chartDays() {
    const by = new Map(data.charts.days.map(row => [row[0], row]));
    const first = Math.floor(local(data.from) / 86400000);
    const last = Math.floor(local(data.to - 1) / 86400000);
    const begin = last - first > 400 ? data.charts.days[0]?.[0] ?? last : first;
    const list = [];
    for (let at = begin; at <= last; at++) {
        list.push(by.get(at) ?? [at, 0, 0]);
    }
    const most = list.reduce((a, b) => b[1] > a[1] ? b : a, list[0]);
    chart('days', t('chart.days.summary',
        asDay.format(most[0] * 86400000), number.format(most[1])), {
        type: 'bar',
        data: { labels: list.map(row =>
            asShortDay.format(row[0] * 86400000)),
        datasets: [
            { label: t('figure.accesses'), data: list.map(row => row[1]),
                backgroundColor: BLUE },
            { label: t('figure.denied'), data: list.map(row => row[2]),
                backgroundColor: RED }] },
        options: { scales: { y: whole, x: { grid: { display: false } } } },
        onRow: (at, set) => open({ from: dayText(list[at][0]),
            to: dayText(list[at][0]),
            kind: set === 0 ? 'accesses' : 'denied' }),
    }, table(t('chart.days'),
        [t('field.day'), t('figure.accesses'), t('figure.denied')],
        list.map(row => [link(asDay.format(row[0] * 86400000),
            { from: dayText(row[0]), to: dayText(row[0]) }),
        number.format(row[1]), number.format(row[2])]), [1, 2]));
}

function chartWeek() {
    const list = data.charts.week;
    const most = list.reduce((a, b) => b[1] > a[1] ? b : a, [0, 0]);
    const hourText = hour => t('hour', weekday(Math.floor(hour / 24)),
        hour % 24);
    chart('week', most[1] === 0 ? '' : t('chart.week.summary',
        hourText(most[0]), number.format(most[1])), {
        type: 'bubble',
        data: { datasets: [{ label: t('figure.accesses'),
            data: list.map(([hour, count]) => ({ x: hour % 24,
                y: Math.floor(hour / 24), count })),
            radius: ({ chart, raw }) => Math.min(1, chart.width / 560)
                * (1.5 + 10 * Math.sqrt(raw.count / most[1])),
            backgroundColor: BLUE }] },
        options: {
            clip: false,
            layout: { padding: { right: 10 } },
            plugins: { legend: { display: false }, tooltip: { callbacks: {
                label: item => hourText(item.raw.y * 24 + item.raw.x) + ': '
                    + number.format(item.raw.count) } } },
            scales: {
                x: { min: -0.5, max: 23.5, afterBuildTicks: axis => {
                    axis.ticks = [0, 3, 6, 9, 12, 15, 18, 21]
                        .map(value => ({ value }));
                }, ticks: { callback: value => value + ':00' } },
                y: { min: -0.6, max: 6.6, reverse: true,
                    afterBuildTicks: axis => {
                        axis.ticks = [0, 1, 2, 3, 4, 5, 6]
                            .map(value => ({ value }));
                    }, ticks: { callback: value => weekday(value) } } },
        },
        onRow: at => open({ kind: 'accesses', hour: list[at][0] }),
    }, table(t('chart.week'), [t('field.hour'), t('figure.accesses')],
        list.map(([hour, count]) => [link(hourText(hour),
            { kind: 'accesses', hour }), number.format(count)]), [1]));
}

function chartReasons() {
    const list = data.charts.reasons;
    if (list.length === 0) {
        nothing('reasons');
        return;
    }
    chart('reasons', list.map(([name, count]) =>
        visible(named('reason', name)) + ' ' + number.format(count))
        .join(', '), {
        type: 'bar',
        data: { labels: list.map(([name]) => brief(named('reason', name))),
            datasets: [{ data: list.map(row => row[1]),
                backgroundColor: RED, maxBarThickness: 28 }] },
        options: { indexAxis: 'y', plugins: { legend: { display: false } },
            scales: { x: whole, y: { grid: { display: false } } } },
        onRow: at => open({ kind: 'denied', reason: list[at][0] }),
    }, table(t('chart.reasons'), [t('field.reason'), t('figure.denied'),
        t('field.rows')],
    list.map(([name, count, much]) => [link(foreign(named('reason', name)),
        { kind: 'denied', reason: name }), number.format(count),
    number.format(much)]), [1, 2]));
}

function chartHabits() {
    const list = data.charts.habits.map(([user, now, days, before, past]) =>
        ({ user, now, average: days > 0 ? now / days : 0,
            habit: past > 0 ? before / past : null }));
    if (list.length === 0) {
        nothing('habits');
        return;
    }
    const shown = value => value === null ? t('unknown')
        : fraction.format(value);
    chart('habits', list.slice(0, 3).map(row => visible(row.user) + ' '
        + shown(row.average) + ' (' + shown(row.habit) + ')').join(', '), {
        type: 'bar',
        data: { labels: list.map(row => brief(row.user)), datasets: [
            { label: t('habit.now'), data: list.map(row => row.average),
                backgroundColor: BLUE },
            { label: t('habit.before'), data: list.map(row => row.habit),
                backgroundColor: GREY }] },
        options: { indexAxis: 'y', scales: { x: { beginAtZero: true },
            y: { grid: { display: false }, ticks: { autoSkip: false } } } },
        onRow: at => open({ user: list[at].user, kind: 'accesses' }),
    }, table(t('chart.habits'), [t('field.user'), t('figure.accesses'),
        t('habit.now'), t('habit.before')],
    list.map(row => [link(foreign(row.user),
        { user: row.user, kind: 'accesses' }), number.format(row.now),
    shown(row.average), shown(row.habit)]), [1, 2, 3]));
}

function nothing(id) {
    $('charts-list').append(node('div', { class: 'card' },
        node('h3', null, t('chart.' + id)),
        node('p', { class: 'quiet' }, t('nothing'))));
}

/* ---- Lists --------------------------------------------------------------- */

const LIST = 50;

function list(id, heads, all, numeric) {
    const shown = all.slice(0, LIST);
    $('lists').append(node('div', { class: 'card', id: 'list-' + id,
        tabindex: -1 },
    all.length === 0
        ? node('h3', null, t('list.' + id)) : null,
    all.length === 0
        ? node('p', { class: 'quiet' }, t('nothing'))
        : table(t('list.' + id), heads.map(key => t(key)), shown, numeric),
    all.length > LIST
        ? node('p', { class: 'hint' }, t('list.more',
            number.format(all.length - LIST))) : null));
}

function people() {
    list('sessions', ['field.user', 'field.begin', 'field.duration',
        'field.rows'],
    data.sessions.map(([session, user, begin, length, count]) =>
        [link(foreign(user ?? t('unknown')),
            user === null ? { session } : { session, user }), when(begin),
            duration(length), number.format(count)]), [2, 3]);
    list('no_factor', ['field.user', 'field.rows'],
        data.no_factor.map(([user, count]) => [link(foreign(user), { user }),
            number.format(count)]), [1]);
    list('dormant', ['field.user', 'field.last'],
        data.dormant.map(([user, last]) => [foreign(user), day(last)]), []);
    if (data.countries) {
        const counts = new Map();
        for (let row = 0; row < COUNT; row++) {
            const code = countryOf(textOf('address', row));
            if (code !== '') {
                counts.set(code, (counts.get(code) ?? 0) + 1);
            }
        }
        list('countries', ['field.country', 'field.rows'],
            [...counts].sort((a, b) => b[1] - a[1]).map(([code, count]) =>
                [link(country(code), { country: code }),
                    number.format(count)]), [1]);
    }
}

/* ---- Findings ------------------------------------------------------------ */

const FINDINGS = 200;
const SEVERITIES = ['high', 'medium', 'low'];

/* What is open and grave comes first. */
const weight = found => SEVERITIES.indexOf(found.severity)
    + (found.state === 'open' ? 0 : 10);

function state(found) {
    if (found.state === 'open') {
        return t('state.open');
    }
    return node('span', null, t('state.' + found.state, found.until ?? ''),
        ' ', foreign([found.by, found.said].filter(Boolean).join(': ')));
}

function findings() {
    const all = [...data.findings].sort((a, b) =>
        weight(a) - weight(b) || a.time - b.time);
    const add = (...children) => $('findings-list').append(...children);
    if (data.findings_short) {
        add(node('p', { class: 'hint' }, t('findings.short')));
    }
    if (all.length === 0) {
        add(node('p', null, t('findings.none')));
        return;
    }
    add(node('div', { class: 'card' }, node('div', { class: 'scroll tall',
        tabindex: 0, role: 'group', 'aria-label': t('findings') },
        table(t('findings.caption', number.format(all.length),
            number.format(all.filter(one => one.state === 'open').length)),
        ['severity', 'begin', 'rule', 'user', 'facility', 'said', 'state',
            'id'].map(key => t('field.' + key)),
        all.slice(0, FINDINGS).map(found => [
            node('span', { class: 'severity ' + found.severity },
                t('severity.' + found.severity)),
            found.numbers.length === 0 ? when(found.time)
                : link(when(found.time), { numbers: found.numbers }),
            found.title, foreign(found.user),
            foreign(facilityName(found.facility)), foreign(found.text),
            state(found), node('code', null, found.id)]), [], 'cards'))));
    const more = all.length - FINDINGS + data.findings_dropped;
    if (more > 0) {
        add(node('p', { class: 'hint' }, t('list.more', number.format(more))));
    }
}

/* ---- On paper ------------------------------------------------------------ */

const PRINTED = 100;
const FONT = 13;
const PAPER = { width: 300, height: 210, font: 9 }; /* of charts, pixels */

addEventListener('beforeprint', () => {
    Chart.defaults.font.size = PAPER.font;
    charts.forEach(one => {
        one.resize(PAPER.width, PAPER.height);
        one.update('none');
    });
    const shown = [...found.subarray(0, PRINTED)];
    $('printed').replaceChildren(
        node('p', null, found.length > PRINTED
            ? t('printed', number.format(PRINTED),
                number.format(found.length)) : ''),
        table(t('events'), CELLS.map(name => t('cell.' + name)),
            shown.map(row => CELLS.map(name => foreign(
                cells[name](row).slice(0, 80)))),
            [], 'fixed'));
});
addEventListener('afterprint', () => {
    $('printed').replaceChildren();
    Chart.defaults.font.size = FONT;
    charts.forEach(one => {
        one.resize();
        one.update('none');
    });
});

/* ---- All of it ----------------------------------------------------------- */

Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
Chart.defaults.font.size = FONT;
Chart.defaults.color = INK;
Chart.defaults.borderColor = '#d3dae1';

grid.append(node('div', { class: 'grid-head', role: 'rowgroup' },
    node('div', { class: 'grid-row', role: 'row', 'aria-rowindex': 1 },
        ...CELLS.map(name => node('div', { role: 'columnheader', class: name },
            t('cell.' + name))))), body);
if (rows.count < rows.all) {
    $('capped').hidden = false;
    $('capped').textContent = t('capped', number.format(rows.count),
        number.format(rows.all));
}
heading();
verdict();
overview();
findings();
chartDays();
chartWeek();
chartReasons();
chartHabits();
people();
choices('user', text => text);
choices('facility', facilityName);
choices('event', text => named('event', text));
filter();
})();
