
/* What stands above: heading, verdict, figures. */

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
