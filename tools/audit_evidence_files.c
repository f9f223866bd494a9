/* The files of tools/evidence that the program carries, as report_files.c. */

#include "audit_evidence.h"

#define CARRY(name, path)                                                      \
    __asm__(".pushsection .rodata\n"                                           \
            ".balign 16\n"                                                     \
            "evidence_" #name "_begin:\n"                                      \
            ".incbin \"" path "\"\n"                                           \
            "evidence_" #name "_end:\n"                                        \
            ".byte 0\n"                                                        \
            ".popsection\n");                                                  \
    extern const char evidence_##name##_begin[]                                \
        __attribute__((visibility("hidden")));                                 \
    extern const char evidence_##name##_end[]                                  \
        __attribute__((visibility("hidden")))

CARRY(verify, "tools/evidence/verify.sh");
CARRY(page, "tools/evidence/index.html");
CARRY(words_en, "tools/evidence/words.en");
CARRY(words_ja, "tools/evidence/words.ja");

static slice_t
between(const char *begin, const char *end)
{
    return (slice_t){begin, (size_t) (end - begin)};
}


slice_t
evidence_file_verify(void)
{
    return between(evidence_verify_begin, evidence_verify_end);
}


slice_t
evidence_file_page(void)
{
    return between(evidence_page_begin, evidence_page_end);
}


slice_t
evidence_file_words(bool japanese)
{
    return japanese ? between(evidence_words_ja_begin, evidence_words_ja_end)
                    : between(evidence_words_en_begin, evidence_words_en_end);
}
