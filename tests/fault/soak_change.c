/* Changes of the code in a soak. Each is told before it is asked for, and settled when it was answered: what was
 * refused was live for no message that was sent afterwards, and only a fault is a reason to refuse one. */
#include "soak.h"
#include "stress/place.h"

#define LISTED 64u

/* What is believed of the stage. */
static struct {
    uint32_t live, before;     /* versions; before: 0 when there is none */
    uint8_t tag[SOAK_CHANGES]; /* by version, with one added; 0: it never was live */
    uint32_t newest_tag;
    bool unsure; /* a change was refused: it may have taken a generation, and the code before another */
    uint64_t dice;
} stage = {.live = 1, .tag[1] = 1, .dice = 1};

static gq_swap_result result;

/* --- plugins --------------------------------------------------------------------------------------------------------
 */

const char *soak_plugin(const char *folder, uint32_t tag, char path[static 512])
{
    snprintf(path, 512, "%s/tag%u.cu", folder, tag);
    return path;
}

void soak_write_plugins(char *folder, size_t size)
{
    char name[32];
    REQUIRE(place_make(folder, size, "gpuq-soak"), "a folder");
    for (uint32_t tag = 0; tag < SOAK_TAGS; tag++) {
        snprintf(name, sizeof name, "tag%u", tag);
        poison_write_anywhere(folder, name, tag);
    }
}

/* --- what is told and settled ---------------------------------------------------------------------------------------
 */

static uint32_t live_tag(void) { return stage.tag[stage.live] - 1u; }

/* Returns the fault that was over when it was asked for. If the worker dies of it or with it, its generation is its
 * own for ever, and the code that is live has the next. */
static uint32_t announce(struct soak *s, uint32_t tag)
{
    const uint32_t next = s->begun + 1, settled = __atomic_load_n(&s->settled, __ATOMIC_ACQUIRE);
    REQUIRE(next < SOAK_CHANGES && s->most + 2 < 2 * SOAK_CHANGES, "that were %u changes", next);
    soak_tell("change %u begins: to code %u from %u, generation %u", next, tag, live_tag(), s->least);
    s->change[next].tag = (uint8_t)tag;
    __atomic_store_n(&s->most, s->most + 2, __ATOMIC_RELEASE);
    __atomic_store_n(&s->begun, next, __ATOMIC_RELEASE);
    return settled;
}

static void went_live(struct soak *s, uint32_t tag)
{
    REQUIRE(result.step == GQ_STEP_DONE && result.live == result.version && result.version < SOAK_CHANGES,
            "step %s, version %u, live %u", gq_swap_step_name(result.step), result.version, result.live);
    REQUIRE(result.generation <= s->most &&
                (stage.unsure ? result.generation > s->least : result.generation == s->least + 1),
            "generation %u after %u, at most %u", result.generation, s->least, s->most);
    REQUIRE(!stage.tag[result.version] || stage.tag[result.version] == tag + 1, "version %u changed", result.version);
    stage.tag[result.version] = (uint8_t)(tag + 1);
    stage.before = stage.live;
    stage.live = result.version;
    stage.unsure = false;
    REQUIRE(soak_is_code(s, result.generation, tag), "generation %u is code %u, and other code answered",
            result.generation, tag);
    __atomic_store_n(&s->least, result.generation, __ATOMIC_RELEASE);
    __atomic_store_n(&s->most, result.generation, __ATOMIC_RELEASE);
}

/* Of a change to `tag` that was told of; true if it is live. */
static bool answer(struct soak *s, gq_status status, uint32_t tag, uint32_t settled)
{
    soak_tell(
        "change %u is answered: status %d at %s, version %u, live %u, generation %u, park %.2f, load %.2f, launch "
        "%.2f of %.2f ms",
        s->done + 1, (int)status, gq_swap_step_name(result.step), result.version, result.live, result.generation,
        (double)result.park_ns * 1e-6, (double)result.load_ns * 1e-6, (double)result.launch_ns * 1e-6,
        (double)result.total_ns * 1e-6);
    if (status == GQ_OK) {
        went_live(s, tag);
    } else {
        REQUIRE(gq_last_error()[0] && result.generation == 0 && result.live == stage.live,
                "refused with status %d, generation %u, version %u live, and %u was", (int)status, result.generation,
                result.live, stage.live);
        REQUIRE(__atomic_load_n(&s->fault, __ATOMIC_ACQUIRE) != settled, "refused at %s, and no worker died: %s\n%s",
                gq_swap_step_name(result.step), gq_last_error(), result.log);
        stage.unsure = true;
        s->refused++;
    }
    s->change[s->done + 1].live = (uint8_t)live_tag();
    __atomic_store_n(&s->done, s->done + 1, __ATOMIC_RELEASE);
    return status == GQ_OK;
}

/* --- changes --------------------------------------------------------------------------------------------------------
 */

/* Tags in turn: when one comes again it is not loaded any more. */
static bool swap(struct soak *s, const char *folder)
{
    char path[512];
    stage.newest_tag = (stage.newest_tag + 1) % SOAK_TAGS;
    if (stage.newest_tag == live_tag())
        stage.newest_tag = (stage.newest_tag + 1) % SOAK_TAGS;
    const gq_swap_opts opts = {.size = sizeof opts, .plugin = soak_plugin(folder, stage.newest_tag, path)};
    const uint32_t settled = announce(s, stage.newest_tag);
    result = (gq_swap_result){.size = sizeof result};
    const gq_status status = gq_swap(s->p, "s", &opts, &result);
    const bool live = answer(s, status, stage.newest_tag, settled);
    s->swaps += live;
    return live;
}

/* Is it loaded, and was it live once? */
static bool is_kept(const gq_version_info *v)
{
    return (v->state == GQ_VERSION_WARM || v->state == GQ_VERSION_DRAINING) && stage.tag[v->version] != 0;
}

static void use(struct soak *s, const gq_version_info *v)
{
    const uint32_t tag = stage.tag[v->version] - 1u, settled = announce(s, tag);
    const bool back = v->version == stage.before && payload_dice(&stage.dice) % 2;
    result = (gq_swap_result){.size = sizeof result};
    const gq_status status = back ? gq_rollback(s->p, "s", &result) : gq_use(s->p, "s", v->version, &result);
    const bool live = answer(s, status, tag, settled);
    s->rollbacks += live && back;
    s->uses += live && !back;
}

static bool use_any(struct soak *s)
{
    static gq_version_info list[LISTED];
    size_t count;
    REQUIRE(gq_versions(s->p, list, LISTED, &count) == GQ_OK && count > 0, "versions");
    for (size_t i = 0, at = payload_dice(&stage.dice) % count; i < count; i++) {
        const gq_version_info *v = &list[(at + i) % count];
        REQUIRE((v->state == GQ_VERSION_LIVE) == (v->version == stage.live), "version %u is %s, %u is live", v->version,
                gq_version_state_name(v->state), stage.live);
        if (is_kept(v)) {
            use(s, v);
            return true;
        }
    }
    return false;
}

void soak_change_something(struct soak *s, const char *folder)
{
    if (payload_dice(&stage.dice) % 4 != 0 || !use_any(s))
        swap(s, folder);
}

void soak_swap_in_turn(struct soak *s, const char *folder, uint32_t times)
{
    for (uint32_t i = 0; i < times; i++)
        REQUIRE(swap(s, folder), "a swap while nothing happens: %s", gq_last_error());
}
