/* Findings in words, for terminals and reports. */

#include "findings_internal.h"

#include <stdio.h>

static const struct {
    const char *english, *japanese;
} titles[FINDING_RULES] = {
    [FINDING_NO_RULE] = {"None", "なし"},
    [FINDING_OFF_HOURS] = {"Out of hours", "時間外の利用"},
    [FINDING_NEW_COUNTRY] = {"From a new country", "新しい国からの利用"},
    [FINDING_NEW_ADDRESS] = {"From a new network", "新しい接続元からの利用"},
    [FINDING_VOLUME] = {"Far more than usual", "普段より極端に多い利用"},
    [FINDING_MANY_PATIENTS] = {"Many patients in a short time",
                               "短時間に多数の患者"},
    [FINDING_TWO_PLACES] = {"At two places at once", "同時に二か所からの利用"},
    [FINDING_OWN_NAME] = {"A patient with the user's own name",
                          "利用者と同じ名前の患者"},
    [FINDING_DENIALS] = {"A burst of denials", "拒否の集中"},
    [FINDING_CODE_USED_TWICE] = {"A code used twice",
                                 "ワンタイムコードの再使用"},
    [FINDING_EMERGENCY] = {"Emergency access", "緊急アクセス"},
    [FINDING_NOT_WIPED] = {"Terminal not wiped", "端末の消去漏れ"},
    [FINDING_GAP] = {"A hole in the records", "記録の欠落"},
};

const char *
finding_title(finding_rule_t rule, bool japanese)
{
    unsigned i = (unsigned) rule < FINDING_RULES ? rule : 0;

    return japanese ? titles[i].japanese : titles[i].english;
}

static slice_t
or_unknown(slice_t text, bool japanese)
{
    return text.size > 0 ? text : japanese ? SLICE("不明") : SLICE("unknown");
}

/* "s" where English wants one. */
static const char *
plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

#define NUMBER(value) (unsigned long long) (value)

static int
english(const finding_t *f, char *text, size_t size)
{
    slice_t address = or_unknown(f->address, false);
    slice_t facility = or_unknown(f->facility, false);

    switch (f->rule) {
    case FINDING_OFF_HOURS:
        return snprintf(text, size,
                        "%llu access%s out of the usual hours of "
                        "%.*s",
                        NUMBER(f->count), f->count == 1 ? "" : "es",
                        SLICE_ARG(facility));
    case FINDING_NEW_COUNTRY:
        return snprintf(text, size,
                        "from %.*s for the first time, address "
                        "%.*s",
                        SLICE_ARG(f->detail), SLICE_ARG(address));
    case FINDING_NEW_ADDRESS:
        return snprintf(text, size,
                        "from a network never used before: %.*s "
                        "at %.*s",
                        SLICE_ARG(address), SLICE_ARG(facility));
    case FINDING_VOLUME:
        return snprintf(text, size, "%llu accesses in one day; usual are %llu",
                        NUMBER(f->count), NUMBER(f->usual));
    case FINDING_MANY_PATIENTS:
        return snprintf(text, size,
                        "%llu patients in a short time; more than "
                        "%llu is a finding",
                        NUMBER(f->count), NUMBER(f->limit));
    case FINDING_TWO_PLACES:
        return snprintf(text, size,
                        "at the same time at %.*s (%.*s) and "
                        "%.*s (%.*s)",
                        SLICE_ARG(facility), SLICE_ARG(address),
                        SLICE_ARG(or_unknown(f->other_facility, false)),
                        SLICE_ARG(f->other_address));
    case FINDING_OWN_NAME:
        return snprintf(text, size,
                        "opened images of patient %.*s, who has "
                        "the user's own name",
                        SLICE_ARG(f->patient));
    case FINDING_DENIALS:
        return snprintf(text, size, "%llu denial%s (%.*s) from %.*s",
                        NUMBER(f->count), plural(f->count),
                        SLICE_ARG(or_unknown(f->detail, false)),
                        SLICE_ARG(address));
    case FINDING_CODE_USED_TWICE:
        return snprintf(text, size,
                        "a one-time code was sent again, %llu "
                        "time%s, from %.*s",
                        NUMBER(f->count), plural(f->count), SLICE_ARG(address));
    case FINDING_EMERGENCY:
        return snprintf(text, size,
                        "emergency access was used, and nobody "
                        "signed for it so far");
    case FINDING_NOT_WIPED:
        return slice_is(f->detail, "never")
                   ? snprintf(text, size,
                              "%llu session%s after which nothing "
                              "was removed from the terminal",
                              NUMBER(f->count), plural(f->count))
                   : snprintf(text, size,
                              "%llu time%s not everything could be "
                              "removed from the terminal",
                              NUMBER(f->count), plural(f->count));
    case FINDING_GAP:
        return snprintf(text, size,
                        "%llu record%s \"%.*s\": something is not "
                        "in the trail",
                        NUMBER(f->count), plural(f->count),
                        SLICE_ARG(f->detail));
    case FINDING_NO_RULE:
    case FINDING_RULES:
        break;
    }
    return snprintf(text, size, "%llu", NUMBER(f->count));
}

static int
japanese_words(const finding_t *f, char *text, size_t size)
{
    slice_t address = or_unknown(f->address, true);
    slice_t facility = or_unknown(f->facility, true);

    switch (f->rule) {
    case FINDING_OFF_HOURS:
        return snprintf(text, size, "%.*s の通常の時間外に %llu 件の利用",
                        SLICE_ARG(facility), NUMBER(f->count));
    case FINDING_NEW_COUNTRY:
        return snprintf(text, size, "初めての国 %.*s(接続元 %.*s)からの利用",
                        SLICE_ARG(f->detail), SLICE_ARG(address));
    case FINDING_NEW_ADDRESS:
        return snprintf(text, size, "初めての接続元 %.*s(%.*s)からの利用",
                        SLICE_ARG(address), SLICE_ARG(facility));
    case FINDING_VOLUME:
        return snprintf(text, size, "一日に %llu 件の利用(普段は %llu 件)",
                        NUMBER(f->count), NUMBER(f->usual));
    case FINDING_MANY_PATIENTS:
        return snprintf(text, size,
                        "短時間に患者 %llu 人の画像を閲覧(基準は %llu 人)",
                        NUMBER(f->count), NUMBER(f->limit));
    case FINDING_TWO_PLACES:
        return snprintf(text, size, "%.*s(%.*s)と %.*s(%.*s)から同時に利用",
                        SLICE_ARG(facility), SLICE_ARG(address),
                        SLICE_ARG(or_unknown(f->other_facility, true)),
                        SLICE_ARG(f->other_address));
    case FINDING_OWN_NAME:
        return snprintf(text, size, "利用者と同じ名前の患者 %.*s の画像を閲覧",
                        SLICE_ARG(f->patient));
    case FINDING_DENIALS:
        return snprintf(text, size, "%.*s から %llu 件の拒否(%.*s)",
                        SLICE_ARG(address), NUMBER(f->count),
                        SLICE_ARG(or_unknown(f->detail, true)));
    case FINDING_CODE_USED_TWICE:
        return snprintf(text, size,
                        "使用済みのワンタイムコードが %.*s から %llu "
                        "回送られた",
                        SLICE_ARG(address), NUMBER(f->count));
    case FINDING_EMERGENCY:
        return snprintf(text, size,
                        "緊急アクセスが使われ、まだ確認されていない");
    case FINDING_NOT_WIPED:
        return slice_is(f->detail, "never")
                   ? snprintf(text, size,
                              "端末の消去が行われなかったセッション %llu 件",
                              NUMBER(f->count))
                   : snprintf(text, size, "端末から消去しきれなかった: %llu 回",
                              NUMBER(f->count));
    case FINDING_GAP:
        return snprintf(text, size,
                        "「%.*s」の記録が %llu 件: 証跡に欠けた部分がある",
                        SLICE_ARG(f->detail), NUMBER(f->count));
    case FINDING_NO_RULE:
    case FINDING_RULES:
        break;
    }
    return snprintf(text, size, "%llu", NUMBER(f->count));
}

size_t
finding_words(const finding_t *finding, bool japanese,
              char text[FINDING_WORDS_MAX])
{
    int size = japanese ? japanese_words(finding, text, FINDING_WORDS_MAX)
                        : english(finding, text, FINDING_WORDS_MAX);
    size_t used = size < 0 ? 0 : (size_t) size;

    if (used < FINDING_WORDS_MAX) {
        return used;
    }
    used = FINDING_WORDS_MAX - 1;
    /* not within a character */
    while (used > 0 && ((unsigned char) text[used] & 0xc0) == 0x80) {
        used--;
    }
    text[used] = '\0';
    return used;
}
