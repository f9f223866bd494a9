
/* The rows, unpacked, and which of them are asked for. */

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
