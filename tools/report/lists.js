
/* Lists of people, and the findings. */

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
