#include "config/value.h"
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/assert.h"

#define DIGITS "0123456789"
#define HEX_DIGITS "0123456789abcdefABCDEF"
#define PERCENT_DECIMALS 4u /* of a percent is a millionth */
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

struct unit {
    const char *name;
    uint64_t factor;
};
/* The largest first, so that the first one that divides a number is the shortest way to say it. */
static const struct unit sizes[] = {{"GiB", 1u << 30}, {"MiB", 1u << 20}, {"KiB", 1u << 10}, {"GB", 1000000000},
                                    {"MB", 1000000},   {"kB", 1000},      {"B", 1},          {NULL, 0}};
static const struct unit durations[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};

/* --- whole numbers -------------------------------------------------------------------------------------------------
 */

/* Digits, decimal or after 0x, into *out; the rest of the text, or NULL when there are no digits or too many. */
static const char *take_digits(const char *text, uint64_t *out)
{
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *first = hex ? text + 2 : text;
    size_t len = strspn(first, hex ? HEX_DIGITS : DIGITS);
    if (len == 0 || (!hex && len > 1 && first[0] == '0'))
        return NULL;
    *out = 0;
    for (size_t i = 0; i < len; i++) {
        uint64_t digit = first[i] <= '9' ? (uint64_t)(first[i] - '0') : (uint64_t)((first[i] | 0x20) - 'a' + 10);
        if (__builtin_mul_overflow(*out, hex ? 16 : 10, out) || __builtin_add_overflow(*out, digit, out))
            return NULL;
    }
    return first + len;
}

/* 010 is 8 for one reader of YAML and 10 for the next. */
static bool has_odd_base(const char *text)
{
    text += *text == '-' || *text == '+';
    if (text[0] != '0' || text[1] == '\0')
        return false;
    if (strchr("oObB", text[1]))
        return text[2] != '\0' && text[2 + strspn(text + 2, HEX_DIGITS "_")] == '\0';
    return text[1 + strspn(text + 1, DIGITS)] == '\0';
}

static const struct unit *find_unit(const struct unit *units, const char *name)
{
    for (const struct unit *u = units; u->name; u++)
        if (strcmp(u->name, name) == 0)
            return u;
    return NULL;
}

/* A unit that differs in case only, for the sentence. */
static void suggest_unit(const struct unit *units, const char *name, struct gq_text *why)
{
    if (*name == '.' || *name == ' ') {
        gq_text_puts(why, *name == '.' ? "write a whole number of a smaller unit" : "write the unit without a blank");
        return;
    }
    for (const struct unit *u = units; u->name; u++)
        if (strcasecmp(u->name, name) == 0) {
            gq_text_printf(why, "units are spelt with care: write %s", u->name);
            return;
        }
    gq_text_puts(why, "the units are ");
    for (const struct unit *u = units; u->name; u++)
        gq_text_printf(why, "%s%s", u->name, !u[1].name ? "" : !u[2].name ? " and " : ", ");
}

static bool apply_unit(const struct gq_schema_row *row, const char *name, uint64_t *number, struct gq_text *why)
{
    const struct unit *units = row->type == GQ_SCHEMA_SIZE ? sizes : row->type == GQ_SCHEMA_DURATION ? durations : NULL;
    if (!units)
        return *name == '\0';
    if (*name == '\0' && row->type == GQ_SCHEMA_SIZE)
        return true;
    const struct unit *unit = find_unit(units, name);
    if (!unit)
        suggest_unit(units, name, why);
    return unit && !__builtin_mul_overflow(*number, unit->factor, number);
}

static bool is_power_of_two(uint64_t n) { return n && (n & (n - 1)) == 0; }

static void suggest_powers(const struct gq_schema_row *row, uint64_t n, struct gq_text *why)
{
    uint64_t below = 1;
    while (below * 2 <= n)
        below *= 2;
    uint64_t above = below * 2;
    if (above > row->max)
        gq_text_printf(why, "the nearest is %llu", (unsigned long long)below);
    else
        gq_text_printf(why, "the nearest are %llu and %llu", (unsigned long long)below, (unsigned long long)above);
}

bool gq_value_number(const struct gq_schema_row *row, const char *text, uint64_t *out, struct gq_text *why)
{
    unsigned word;
    if (row->words && gq_value_word(row->words, text, &word)) {
        *out = word;
        return true;
    }
    if (has_odd_base(text)) {
        gq_text_puts(why, "write it in decimal, without leading zeros, or after 0x");
        return false;
    }
    const char *rest = take_digits(text, out);
    if (!rest || !apply_unit(row, rest, out, why) || *out < row->min || *out > row->max)
        return false;
    if (row->type != GQ_SCHEMA_POWER || is_power_of_two(*out))
        return true;
    suggest_powers(row, *out, why);
    return false;
}

bool gq_value_percent(const char *text, uint64_t *ppm)
{
    const size_t digits = strspn(text, DIGITS);
    const char *rest = text + digits;
    const size_t decimals = *rest == '.' ? strspn(++rest, DIGITS) : 0;
    const bool has_dot = rest != text + digits;
    if (digits == 0 || digits > 9 || decimals > PERCENT_DECIMALS || has_dot != (decimals != 0) ||
        strcmp(rest + decimals, "%") != 0)
        return false;
    *ppm = 0;
    for (size_t i = 0; i < digits; i++)
        *ppm = *ppm * 10 + (uint64_t)(text[i] - '0');
    for (size_t i = 0; i < PERCENT_DECIMALS; i++)
        *ppm = *ppm * 10 + (i < decimals ? (uint64_t)(rest[i] - '0') : 0);
    return true;
}

bool gq_value_word(const struct gq_schema_word *words, const char *text, unsigned *out)
{
    for (const struct gq_schema_word *w = words; w->word; w++)
        if (strcmp(w->word, text) == 0) {
            *out = w->value;
            return true;
        }
    return false;
}

/* --- real numbers: the program that uses the library may have set any locale ----------------------------------------
 */

static locale_t c_locale(void)
{
    static locale_t made; /* two threads that race here make two of the same; the one that is lost is small */
    locale_t known = __atomic_load_n(&made, __ATOMIC_ACQUIRE);
    if (!known) {
        known = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        gq_assert(known != (locale_t)0); /* C libraries have this one at hand, without memory for it */
        __atomic_store_n(&made, known, __ATOMIC_RELEASE);
    }
    return known;
}

/* [-+] digits [. digits] [e [-+] digits], digits on one side of the dot at least */
static bool looks_real(const char *s)
{
    s += *s == '-' || *s == '+';
    size_t whole = strspn(s, DIGITS), part = 0;
    s += whole;
    if (*s == '.') {
        part = strspn(s + 1, DIGITS);
        s += 1 + part;
    }
    if (whole + part == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        size_t exponent = strspn(s, DIGITS);
        if (exponent == 0)
            return false;
        s += exponent;
    }
    return *s == '\0';
}

bool gq_value_real(const char *text, double *out)
{
    if (!looks_real(text))
        return false;
    *out = strtod_l(text, NULL, c_locale());
    return isfinite(*out);
}

bool gq_value_rate(const struct gq_schema_row *row, const char *text, double *out)
{
    size_t len = strlen(text);
    char number[64];
    if (len < 3 || len >= sizeof number || strcmp(text + len - 2, "/s") != 0)
        return false;
    memcpy(number, text, len - 2);
    number[len - 2] = '\0';
    return gq_value_real(number, out) && *out > 0 && *out <= (double)row->max;
}

/* The fewest digits that read back as the same number. */
static void shortest(double real, char *text, size_t size)
{
    locale_t old = uselocale(c_locale());
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, size, "%.*g", digits, real);
        if (strtod(text, NULL) == real)
            break;
    }
    uselocale(old);
}

void gq_value_print_real(double real, struct gq_text *out)
{
    char text[64];
    shortest(real, text, sizeof text);
    gq_text_printf(out, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

void gq_value_print_percent(uint64_t ppm, struct gq_text *out)
{
    char text[64];
    shortest((double)ppm / 1e4, text, sizeof text);
    gq_text_printf(out, "%s%%", text);
}

void gq_value_print_rate(double per_second, struct gq_text *out)
{
    char text[64];
    shortest(per_second, text, sizeof text);
    gq_text_printf(out, "%s/s", text);
}

/* --- names ---------------------------------------------------------------------------------------------------------
 */

bool gq_value_is_name(const char *text)
{
    size_t len = strspn(text, LETTERS DIGITS "_-.");
    return len > 0 && len <= GQ_NAME_BYTES_MAX && text[len] == '\0' && strchr(LETTERS DIGITS, text[0]);
}

bool gq_value_is_identifier(const char *text)
{
    size_t len = strspn(text, LETTERS DIGITS "_");
    return len > 0 && len <= GQ_NAME_BYTES_MAX && text[len] == '\0' && !strchr(DIGITS, text[0]);
}

char *gq_value_make_name(const char *text)
{
    text += strcspn(text, LETTERS DIGITS);
    char *name = strndup(*text ? text : "pipeline", GQ_NAME_BYTES_MAX);
    size_t end = 0;
    for (size_t i = 0; name && name[i]; i++) {
        if (strchr(LETTERS DIGITS, name[i]))
            end = i + 1;
        else if (!strchr("_-.", name[i]))
            name[i] = '_';
    }
    if (name)
        name[end] = '\0';
    gq_assert(!name || gq_value_is_name(name));
    return name;
}

/* --- parameters ----------------------------------------------------------------------------------------------------
 */

static bool param_integer(const char *text, int64_t *out, bool *fits)
{
    bool negative = *text == '-';
    uint64_t number = 0;
    const char *digits = text + (*text == '-' || *text == '+');
    const char *rest = take_digits(digits, &number);
    bool hex = digits[0] == '0' && (digits[1] | 0x20) == 'x';
    size_t len = strspn(digits + (hex ? 2 : 0), hex ? HEX_DIGITS : DIGITS);
    if (len == 0 || digits[len + (hex ? 2 : 0)] != '\0')
        return false;
    *fits = rest && number <= (uint64_t)INT64_MAX + negative;
    *out = negative ? (int64_t)(0 - number) : (int64_t)number;
    return true;
}

/* Words and numbers that readers of YAML disagree about. */
static bool is_ambiguous(const char *text, struct gq_text *why)
{
    static const char *const words[] = {"yes", "no", "on", "off", "y", "n", "true", "false"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0) {
            gq_text_puts(why, "write true or false, or quote it if it is text");
            return true;
        }
    if (has_odd_base(text) || (strchr(DIGITS, *text) && text[strspn(text, DIGITS "_")] == '\0' && strchr(text, '_'))) {
        gq_text_puts(why, "write the number in decimal, without leading zeros, or after 0x; quote it if it is text");
        return true;
    }
    const char *unsigned_text = text + (*text == '-' || *text == '+');
    if (strcasecmp(unsigned_text, ".inf") == 0 || strcasecmp(unsigned_text, ".nan") == 0) {
        gq_text_puts(why, "numbers are finite; quote it if it is text");
        return true;
    }
    return false;
}

bool gq_value_param(const char *text, struct gq_conf_param *param, struct gq_text *why)
{
    bool fits = true;
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        param->type = GQ_PARAM_BOOL;
        param->boolean = *text == 't';
    } else if (is_ambiguous(text, why)) {
        return false;
    } else if (param_integer(text, &param->integer, &fits)) {
        param->type = GQ_PARAM_INT;
    } else if (looks_real(text)) {
        param->type = GQ_PARAM_FLOAT;
        fits = gq_value_real(text, &param->real);
    } else {
        param->type = GQ_PARAM_STRING;
    }
    if (!fits)
        gq_text_puts(why, "the number is too large: whole numbers have 64 bits, others are doubles");
    return fits;
}

/* --- printing ------------------------------------------------------------------------------------------------------
 */

static void print_units(const struct unit *units, uint64_t number, struct gq_text *out)
{
    const struct unit *u = units;
    while (u[1].name && (number == 0 || number % u->factor != 0))
        u++;
    gq_text_printf(out, "%llu%s", (unsigned long long)(number / u->factor), u->name);
}

void gq_value_print_bytes(uint64_t bytes, struct gq_text *out)
{
    if (bytes == 0 || bytes % 1024 != 0)
        gq_text_printf(out, "%llu", (unsigned long long)bytes);
    else
        print_units(sizes, bytes, out);
}

void gq_value_print_number(const struct gq_schema_row *row, uint64_t number, struct gq_text *out)
{
    for (const struct gq_schema_word *w = row->words; w && w->word; w++)
        if (w->value == number) {
            gq_text_puts(out, w->word);
            return;
        }
    if (row->type == GQ_SCHEMA_SIZE)
        gq_value_print_bytes(number, out);
    else if (row->type == GQ_SCHEMA_DURATION)
        print_units(durations, number, out);
    else
        gq_text_printf(out, "%llu", (unsigned long long)number);
}
