/* Changes of the code in a storm. Each is told before it is asked for, and settled when it was answered: what was
 * refused was live for no message that was sent afterwards. */
#include "storm.h"

#define TEXTS 6u /* plugins that nobody has built before: a builder takes its time for each */
#define FAILED_BUILDS 2u
#define BAD_CODES 8u /* each costs the trials of a message */
#define CANARY_MS 30u
#define VERSIONS 4096u
#define LISTED 64u
#define ROLLED_BACK_MS 60000u

const char *const storm_kind_name[STORM_KINDS] = {"swap",
                                                  "canary",
                                                  "use of a kept version",
                                                  "rollback",
                                                  "swap to a text that is new",
                                                  "does not compile",
                                                  "a wrong golden",
                                                  "a bad canary",
                                                  "bad code, fallen back from"};

/* What this thread believes of the stage. */
struct beliefs {
    uint64_t dice;
    uint32_t live, before;  /* tags; before: STORM_TAGS when nothing may be rolled back */
    uint32_t tag[VERSIONS]; /* of a version that was live, with one added; 0: it never was */
    uint64_t bad_codes, failed_builds, texts, versions; /* so far */
};

static gq_swap_result result; /* of the one thread */

/* --- plugins --------------------------------------------------------------------------------------------------------
 */

const char *storm_plugin(const struct storm *s, const char *name, char path[static 256])
{
    snprintf(path, 256, "%s/%s.cu", s->folder, name);
    return path;
}

void storm_write_plugins(const struct storm *s)
{
    char name[32];
    for (uint32_t tag = 0; tag < STORM_TAGS; tag++) {
        snprintf(name, sizeof name, "tag%u", tag);
        poison_write_plugin(s->folder, name, tag);
        poison_write_golden(s->folder, name, tag, 0);
    }
    for (uint32_t i = 0; i < TEXTS; i++) {
        snprintf(name, sizeof name, "text%u", i);
        poison_write_plugin(s->folder, name, i % STORM_TAGS);
    }
    poison_write_plugin(s->folder, "bad", POISON_TAG_BAD);
    poison_write_plugin(s->folder, "wrong", 1);
    poison_write_golden(s->folder, "wrong", 1, 1);
    FILE *file = poison_create(s->folder, "broken.cu");
    fprintf(file, "#include <gpuqueue/plugin.h>\nint three = four;\n");
    REQUIRE(fclose(file) == 0, "broken.cu");
}

/* --- what is told and settled ---------------------------------------------------------------------------------------
 */

static void announce(struct storm *s, uint32_t tag)
{
    const uint32_t next = s->begun + 1;
    REQUIRE(next < STORM_CHANGES, "that were %u changes", next);
    s->change[next].tag = tag;
    __atomic_store_n(&s->begun, next, __ATOMIC_RELEASE);
}

static void settle(struct storm *s, uint32_t live)
{
    s->change[s->done + 1].live = live;
    __atomic_store_n(&s->done, s->done + 1, __ATOMIC_RELEASE);
}

static void went_live(struct beliefs *b, uint32_t tag)
{
    if (result.generation == 0)
        return; /* it was live already */
    REQUIRE(result.version < VERSIONS && result.live == result.version, "version %u, and %u is live", result.version,
            result.live);
    b->tag[result.version] = tag + 1;
    b->before = b->live;
    b->live = tag;
}

/* Of a change to `tag` that was told of. */
static void answer(struct storm *s, struct beliefs *b, enum storm_kind kind, gq_status status, uint32_t tag)
{
    REQUIRE(status == GQ_OK || (status != GQ_ERR_INVALID_ARG && gq_last_error()[0]), "status %d of a %s", (int)status,
            storm_kind_name[kind]);
    if (status == GQ_OK)
        went_live(b, tag);
    settle(s, b->live);
    storm_count(&s->live[kind], status == GQ_OK);
    storm_count(&s->refused[kind], status != GQ_OK);
}

/* --- changes --------------------------------------------------------------------------------------------------------
 */

static gq_status ask(struct storm *s, const char *name, uint32_t rehearse, uint32_t canary_ppm)
{
    char path[256];
    const gq_swap_opts opts = {.size = sizeof opts,
                               .plugin = storm_plugin(s, name, path),
                               .rehearse = rehearse,
                               .canary_ppm = canary_ppm,
                               .canary_ms = canary_ppm ? CANARY_MS : 0};
    result = (gq_swap_result){.size = sizeof result};
    return gq_swap(s->p, "s", &opts, &result);
}

static void swap_to_tag(struct storm *s, struct beliefs *b, enum storm_kind kind, uint32_t tag)
{
    char name[32];
    snprintf(name, sizeof name, "tag%u", tag);
    announce(s, tag);
    const uint32_t rehearse = payload_dice(&b->dice) % 2 ? 1 : 2;
    answer(s, b, kind, ask(s, name, rehearse, kind == STORM_CANARY ? 500000 : 0), tag);
}

static void swap(struct storm *s, struct beliefs *b, enum storm_kind kind)
{
    swap_to_tag(s, b, kind, (uint32_t)(payload_dice(&b->dice) % STORM_TAGS));
}

static void swap_to_new_text(struct storm *s, struct beliefs *b)
{
    const uint32_t text = (uint32_t)b->texts++;
    char name[32];
    snprintf(name, sizeof name, "text%u", text);
    announce(s, text % STORM_TAGS);
    answer(s, b, STORM_NEW_TEXT, ask(s, name, 2, 0), text % STORM_TAGS);
}

static void use(struct storm *s, struct beliefs *b)
{
    static gq_version_info list[LISTED];
    size_t count;
    REQUIRE(gq_versions(s->p, list, LISTED, &count) == GQ_OK && count > 0, "versions");
    const gq_version_info *v = &list[payload_dice(&b->dice) % count];
    const uint32_t tag = b->tag[v->version] - 1;
    if ((v->state != GQ_VERSION_WARM && v->state != GQ_VERSION_DRAINING) || tag >= STORM_TAGS)
        return;
    announce(s, tag);
    result = (gq_swap_result){.size = sizeof result};
    answer(s, b, STORM_USE, gq_use(s->p, "s", v->version, &result), tag);
}

static void roll_back(struct storm *s, struct beliefs *b)
{
    const uint32_t tag = b->before;
    if (tag >= STORM_TAGS) /* to the code that ended every worker, or there is nothing */
        return;
    announce(s, tag);
    result = (gq_swap_result){.size = sizeof result};
    answer(s, b, STORM_ROLLBACK, gq_rollback(s->p, "s", &result), tag);
}

/* What cannot pass is refused, whatever else happens. */
static void refuse(struct storm *s, struct beliefs *b, enum storm_kind kind, const char *name, uint32_t tag)
{
    announce(s, tag);
    const gq_status status = ask(s, name, 1, kind == STORM_BAD_CANARY ? 500000 : 0);
    REQUIRE(status != GQ_OK, "%s went live", storm_kind_name[kind]);
    answer(s, b, kind, status, tag);
}

/* It goes live, ends each worker with its first message, and the pipeline goes back to the code before by itself. */
static void swap_to_bad_code(struct storm *s, struct beliefs *b)
{
    const uint32_t good = b->live, told = __atomic_load_n(&s->told_rolled_back, __ATOMIC_ACQUIRE);
    const uint64_t deadline = gq_clock_deadline(ROLLED_BACK_MS);
    announce(s, POISON_TAG_BAD);
    announce(s, good);
    const gq_status status = ask(s, "bad", 2, 0);
    answer(s, b, STORM_BAD_CODE, status, POISON_TAG_BAD);
    while (status == GQ_OK && __atomic_load_n(&s->told_rolled_back, __ATOMIC_ACQUIRE) == told) {
        REQUIRE(!gq_clock_past(deadline), "nobody went back from code that ends every worker");
        usleep(1000);
    }
    if (status == GQ_OK)
        b->before = b->live;
    b->live = good;
    settle(s, good);
    b->bad_codes++;
}

static void change_something(struct storm *s, struct beliefs *b)
{
    const uint64_t die = payload_dice(&b->dice) % 64;
    if (die < 2 && b->texts < TEXTS)
        swap_to_new_text(s, b);
    else if (die == 2 && b->failed_builds++ < FAILED_BUILDS)
        refuse(s, b, STORM_NO_COMPILE, "broken", 0);
    else if (die < 5 && b->bad_codes < BAD_CODES)
        swap_to_bad_code(s, b);
    else if (die < 8)
        refuse(s, b, STORM_WRONG_GOLDEN, "wrong", 1);
    else if (die < 11)
        refuse(s, b, STORM_BAD_CANARY, "bad", POISON_TAG_BAD);
    else if (die < 20)
        swap(s, b, STORM_CANARY);
    else if (die < 28)
        use(s, b);
    else if (die < 34)
        roll_back(s, b);
    else
        swap(s, b, STORM_SWAP);
}

static struct beliefs beliefs = {.before = STORM_TAGS, .tag[1] = 1};

void storm_build_all(struct storm *s)
{
    beliefs.dice = payload_mix(s->seed ^ 0xc0de) | 1;
    for (uint32_t tag = 1; tag < STORM_TAGS; tag++)
        swap_to_tag(s, &beliefs, STORM_SWAP, tag);
    refuse(s, &beliefs, STORM_WRONG_GOLDEN, "wrong", 1);
    refuse(s, &beliefs, STORM_BAD_CANARY, "bad", POISON_TAG_BAD);
}

void *storm_change_code(void *storm)
{
    struct storm *s = storm;
    while (!storm_is_over(s)) {
        change_something(s, &beliefs);
        usleep((useconds_t)(payload_dice(&beliefs.dice) % 20000));
    }
    return NULL;
}
