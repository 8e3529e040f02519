/* Any bytes as a queue's journal: records that hold together and say anything, and damage to them. What opens has no
 * more in a lane than fits, reads back whole, goes on, and is the same when it is opened again.
 */
#include "fuzz.h"
#include "folder.h"
#include "input.h"
#include "unit/journal_support.h"

#define CAPACITY 8u
#define SLOT_BYTES 32u
#define STAMP 77u
#define LANES 3u /* that records are about, mostly */

static struct gq_text file;

static uint32_t some_lane(struct input *in)
{
    const uint32_t b = input_byte(in);
    return b < 0xf8 ? b % LANES : (uint32_t)input_any(in);
}

static void put_record(const struct gq_journal_record *r) { gq_journal_put(&file, STAMP, file.len, r); }

static void put_message(struct input *in)
{
    uint8_t bytes[SLOT_BYTES + 1];
    memset(bytes, (int)input_byte(in), sizeof bytes);
    struct gq_journal_record r = {.kind = GQ_JOURNAL_MESSAGE, .bytes = bytes};
    r.len = input_choice(in, SLOT_BYTES + 2);
    r.lane = some_lane(in);
    r.first = input_any(in);
    r.safe = input_any(in);
    put_record(&r);
}

static void put_taken(struct input *in)
{
    struct gq_journal_range ranges[3];
    const uint32_t count = input_choice(in, 4);
    for (uint32_t i = 0; i < count; i++) {
        ranges[i].lane = some_lane(in);
        ranges[i].first = input_any(in);
        ranges[i].count = input_any(in);
    }
    gq_journal_put_taken(&file, STAMP, file.len, input_any(in), ranges, count);
}

static void put_lane(struct input *in)
{
    struct gq_journal_record r = {.kind = GQ_JOURNAL_LANE, .lane = some_lane(in)};
    r.first = input_any(in);
    r.next = r.first + input_any(in);
    put_record(&r);
}

static void put_begin(struct input *in)
{
    struct gq_journal_record r = {.kind = GQ_JOURNAL_BEGIN};
    const uint32_t odd = input_choice(in, 8);
    r.capacity = odd ? 2u << input_choice(in, 4) : (uint32_t)input_any(in);
    r.slot_bytes = (uint32_t)input_any(in);
    put_record(&r);
}

static void damage(struct input *in)
{
    if (file.len)
        file.data[input_number(in, 2) % file.len] ^= (char)input_byte(in);
}

static void write_journal(struct input *in)
{
    const struct gq_journal_record seal = {.kind = GQ_JOURNAL_SEAL};
    gq_text_clear(&file);
    gq_journal_put_header(&file, STAMP);
    put_begin(in);
    while (!input_ended(in)) {
        const uint32_t what = input_choice(in, 16);
        if (what < 8)
            put_message(in);
        else if (what < 11)
            put_taken(in);
        else if (what < 12)
            put_begin(in);
        else if (what < 13)
            put_lane(in);
        else if (what < 15)
            put_record(&seal);
        else
            damage(in);
    }
    folder_write("journal", file.data, file.len);
}

static gq_status open_journal(struct gq_journal **out)
{
    const struct gq_journal_opts opts = {folder_path("journal"), GQ_DURABILITY_MEMORY, CAPACITY, SLOT_BYTES, 0};
    gq_error_clear();
    const gq_status status = gq_journal_open(&opts, out);
    gq_assert(status == GQ_OK || status == GQ_ERR_DATA || status == GQ_ERR_CONFIG);
    gq_assert((status == GQ_OK) == (*gq_error_text() == '\0'));
    return status;
}

/* Every message that may be asked for: how many, and what their bytes add up to. */
static uint64_t read_all(struct gq_journal *j, uint64_t *sum)
{
    uint64_t count = 0;
    *sum = 0;
    for (uint32_t lane = 0; lane < GQ_LANES_MAX; lane++) {
        const struct gq_journal_lane *l = &j->lane[lane];
        gq_assert(l->first <= l->next && l->next - l->first <= CAPACITY && l->next <= GQ_JOURNAL_SEQ_END);
        for (uint64_t seq = l->first; seq < l->next; seq++) {
            uint8_t slot[SLOT_BYTES];
            uint32_t len;
            bool taken;
            const gq_status status = gq_journal_read(j, lane, seq, slot, &len, &taken);
            gq_assert(status == GQ_OK || status == GQ_ERR_CONFIG);
            gq_assert(len <= SLOT_BYTES && taken == !journal_has(j, lane, seq));
            count += !taken;
            for (uint32_t i = 0; i < len && !taken; i++)
                *sum += slot[i];
        }
    }
    return count;
}

/* One message more, if there is room, and one less. */
static void go_on(struct gq_journal *j)
{
    uint8_t slots[CAPACITY * SLOT_BYTES] = {0};
    struct gq_journal_lane *l = &j->lane[0];
    const struct gq_lane_view view = journal_view(slots, 0, CAPACITY, SLOT_BYTES);
    const uint32_t len = 5;
    if (l->next - l->first < CAPACITY && l->next < GQ_JOURNAL_SEQ_END) {
        const uint64_t seq = l->next;
        gq_status status = gq_journal_accept(j, &view, seq, &len, 1);
        gq_assert(status == GQ_OK && journal_has(j, 0, seq));
    }
    const uint64_t oldest = l->first;
    gq_journal_take(j, 0, oldest, 1);
    gq_journal_flush(j);
    gq_assert(l->first > oldest || oldest == l->next);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct input in = {bytes, bytes + len};
    struct gq_journal *j;
    uint64_t sum, again_sum;
    folder_make();
    write_journal(&in);
    if (open_journal(&j) != GQ_OK)
        return 0;
    read_all(j, &sum);
    go_on(j);
    const uint64_t count = read_all(j, &sum);
    gq_status status = gq_journal_close(j);
    gq_assert(status == GQ_OK);
    status = open_journal(&j);
    gq_assert(status == GQ_OK && read_all(j, &again_sum) == count && again_sum == sum);
    status = gq_journal_close(j);
    gq_assert(status == GQ_OK);
    return 0;
}
