
/* The table of records, and one record in full. */

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
