
/* The charts, each with its table. */

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

/* A name beside an axis: as much as there is room for.  Chinese characters and
 * their like are twice as wide as letters. */
const ROOM = innerWidth < 700 ? 20 : 24;
const wide = letter => letter >= '\u1100' ? 2 : 1;

function brief(text) {
    let room = ROOM, cut = '';
    for (const letter of visible(text)) {
        if (room < wide(letter)) {
            return cut.slice(0, -1) + '\u2026';
        }
        room -= wide(letter);
        cut += letter;
    }
    return cut;
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
