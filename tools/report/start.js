
/* Paper, and the start: the last of the parts. */

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
