/*
 * The files that the program carries: the assembler puts them in as they are.
 * Their paths are relative to the top folder, from which make compiles.
 */

#include "report.h"

/* The Debian package libjs-chart.js has it. */
#ifndef REPORT_CHARTS
#define REPORT_CHARTS "/usr/share/javascript/chart.js/chart.min.js"
#endif

#define BYTES(path) ".incbin \"" path "\"\n"
#define PART(name)  BYTES("tools/report/" name)

/* `parts` is one file, or several that are one text. */
#define CARRY(name, parts)                                                     \
    __asm__(".pushsection .rodata\n"                                           \
            ".balign 16\n"                                                     \
            "report_" #name "_begin:\n" parts "report_" #name "_end:\n"        \
            ".byte 0\n"                                                        \
            ".popsection\n");                                                  \
    extern const char report_##name##_begin[]                                  \
        __attribute__((visibility("hidden")));                                 \
    extern const char report_##name##_end[]                                    \
        __attribute__((visibility("hidden")))

CARRY(page, PART("report.html"));
CARRY(patient, PART("patient.html"));
CARRY(style, PART("report.css"));
CARRY(script,
      PART("words.js") PART("rows.js") PART("table.js") PART("overview.js")
          PART("charts.js") PART("lists.js") PART("start.js"));
CARRY(words_en, PART("words.en"));
CARRY(words_ja, PART("words.ja"));
CARRY(charts, BYTES(REPORT_CHARTS));

static slice_t
between(const char *begin, const char *end)
{
    return (slice_t){begin, (size_t) (end - begin)};
}


slice_t
report_file_page(void)
{
    return between(report_page_begin, report_page_end);
}


slice_t
report_file_patient(void)
{
    return between(report_patient_begin, report_patient_end);
}


slice_t
report_file_style(void)
{
    return between(report_style_begin, report_style_end);
}


slice_t
report_file_script(void)
{
    return between(report_script_begin, report_script_end);
}


slice_t
report_file_charts(void)
{
    return between(report_charts_begin, report_charts_end);
}


slice_t
report_file_words(bool japanese)
{
    return japanese ? between(report_words_ja_begin, report_words_ja_end)
                    : between(report_words_en_begin, report_words_en_end);
}
