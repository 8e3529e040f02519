/* epochs.pml - one lane whose workers die: messages in, results out, a swap meanwhile, and what the supervisor does.
 *
 * The host never dies; a worker of two blocks may be killed at any step (KILLS times), and one message, or none, ends its
 * worker whenever it is processed. A process that was killed goes on until it is reaped, which may be when another has
 * taken its place: what it writes in between is the late write that a fresh egress is there for. Slots are used again:
 * there are more messages than slots.
 *
 *   each message has one result, in order; a result does not change while somebody holds it
 *   the one that ends its worker is given up, and no other one is
 *   in the end all messages have been delivered: a state in which nobody can go on before that is an error
 *
 * Each name of MUTATIONS, given with -D, breaks one rule of the protocol, and has to make the verification fail.
 */
#ifndef MESSAGES
#define MESSAGES 3
#endif
#define SLOTS 2
#define BLOCKS 2
#ifndef KILLS
#define KILLS 1
#endif
#define EPOCHS (KILLS + 3) /* each kill ends one, and so does the message that is given up */
#define NOBODY 255

/* Results: who made them, or that nobody could. */
#define OLD_CODE 1
#define NEW_CODE 2
#define GIVEN_UP 3

typedef memory { /* an egress: stamps say whose result a slot has */
    byte stamp[SLOTS];
    byte result[SLOTS]
};
memory egress[EPOCHS];

typedef worker {
    bool runs, killed;
    byte next;          /* the first message that no block has claimed */
    byte code;          /* what it processes messages with */
    byte crumb[BLOCKS]  /* the message that a block is inside of */
};
worker work[EPOCHS];

byte epoch, mapped;    /* the newest worker; the egress that the host sees */
byte released, delivered;
byte live = OLD_CODE;  /* as the host knows it */
byte fatal;            /* the message that ends its worker; MESSAGES: none does */
byte held = NOBODY, held_result;

#define slot(seq) ((seq) % SLOTS)
#ifdef LATE_WRITES
#define file(e) 0 /* one egress for all workers, and nobody waits until one is gone */
#else
#define file(e) (e)
#endif
#define is_there(e, seq) (egress[file(e)].stamp[slot(seq)] == (seq) + 1)
/* The producer fills every slot at once: fewer states, and the most that a worker can get wrong. */
#define submitted (released + SLOTS < MESSAGES -> released + SLOTS : MESSAGES)
#define over (delivered == MESSAGES)

/* --- a worker -------------------------------------------------------------------------------------------------------- */

proctype block(byte e, b)
{
    byte seq;
again:
    do
    :: atomic { work[e].runs && work[e].next < submitted && !over ->
        seq = work[e].next; /* a claim, under the lane's word */
        work[e].next++;
#ifndef LOOKED_AT_OUTSIDE_THE_CLAIM
        if
        :: is_there(e, seq) -> goto again /* it has its result since an epoch before this one */
        :: else -> skip
        fi
#endif
       }
       atomic { /* a claim is of several messages: most wait while the block is inside another one */
        if
        :: !work[e].runs -> goto gone
#ifdef LOOKED_AT_OUTSIDE_THE_CLAIM
        :: work[e].runs && is_there(e, seq) -> goto again
#endif
        :: else -> work[e].crumb[b] = seq
        fi;
        if
        :: seq == fatal -> work[e].killed = true; goto stuck
        :: else -> skip
        fi
       }
          atomic { if :: work[e].runs -> egress[file(e)].result[slot(seq)] = work[e].code :: else -> goto gone fi }
          atomic { if :: work[e].runs -> egress[file(e)].stamp[slot(seq)] = seq + 1; work[e].crumb[b] = NOBODY :: else -> goto gone fi }
    :: atomic { (!work[e].runs || over) -> goto gone }
    od;
stuck:
    (!work[e].runs || over); /* the process as a whole has ended, as soon as it is reaped */
gone:
    seq = 0
}

inline start_worker(e, first)
{
    work[e].next = first;
    work[e].code = live;
    work[e].crumb[0] = NOBODY;
    work[e].crumb[1] = NOBODY;
    work[e].runs = true;
    run block(e, 0);
    run block(e, 1)
}

/* --- those who harm and change it -------------------------------------------------------------------------------------- */

active proctype killer()
{
    byte left = KILLS;
    do
    :: left > 0 && !over -> atomic { left--; work[epoch].killed = true }
    :: break
    od
}

active proctype swap()
{
    if
    :: atomic { true -> live = NEW_CODE; work[epoch].code = NEW_CODE }
    :: over -> skip
    fi
}

/* --- the host ------------------------------------------------------------------------------------------------------------ */

/* Looks at a result, holds it for a while, and lets go of its slot. */
active proctype consumer()
{
    do
    :: delivered == MESSAGES -> break
    :: atomic { delivered < submitted && is_there(mapped, delivered) ->
        held = delivered;
        held_result = egress[file(mapped)].result[slot(delivered)]
       }
#ifdef RELEASED_BEFORE_IT_WAS_READ
       released++;
#endif
       atomic {
        assert(egress[file(mapped)].stamp[slot(held)] == held + 1);
        assert(egress[file(mapped)].result[slot(held)] == held_result);
        assert((held_result == GIVEN_UP) == (held == fatal));
        assert(held_result != NOBODY && held_result != 0);
        held = NOBODY;
        held_result = 0;
        delivered++;
#ifndef RELEASED_BEFORE_IT_WAS_READ
        released++
#endif
       }
    od
}

/* Suspects are tried alone: one that ends has its result, one that ends its worker too is given up. */
inline try_suspect(seq)
{
    if
#ifdef CONVICTED_WITHOUT_A_TRIAL
    :: true -> ending[slot(seq)] = GIVEN_UP
#else
    :: seq == fatal -> ending[slot(seq)] = GIVEN_UP
    :: seq != fatal -> ending[slot(seq)] = live
#endif
    fi;
    ended[slot(seq)] = seq + 1
}

inline copy_one(seq)
{
    if
    :: seq >= submitted -> skip
#ifndef FINISHED_ONES_FORGOTTEN
    :: seq < submitted && is_there(epoch, seq) ->
       egress[file(epoch + 1)].stamp[slot(seq)] = seq + 1;
       egress[file(epoch + 1)].result[slot(seq)] = egress[file(epoch)].result[slot(seq)]
#endif
    :: seq < submitted && !is_there(epoch, seq) && ended[slot(seq)] == seq + 1 ->
       egress[file(epoch + 1)].stamp[slot(seq)] = seq + 1;
       egress[file(epoch + 1)].result[slot(seq)] = ending[slot(seq)]
    :: else -> skip
    fi
}

active proctype supervisor()
{
    byte ending[SLOTS], ended[SLOTS]; /* of messages that were tried */
    byte first, i;
    atomic {
        if :: fatal = 1 :: fatal = MESSAGES fi;
        start_worker(0, 0)
    }
    do
    :: over -> break
    :: work[epoch].killed && !over ->
#ifndef LATE_WRITES
       if
       :: work[epoch].runs = false /* waitpid() */
       :: skip /* it is lost: its other block may go on until there is another egress */
       fi;
#endif
       assert(epoch + 1 < EPOCHS);
       atomic {
       i = 0;
       do
       :: i < BLOCKS ->
          if
          :: work[epoch].crumb[i] != NOBODY && work[epoch].crumb[i] >= released && !is_there(epoch, work[epoch].crumb[i]) ->
             try_suspect(work[epoch].crumb[i])
          :: else -> skip
          fi;
          i++
       :: else -> break
       od
       }
       atomic { /* under the lane's lock */
        first = released;
        copy_one(first);
        copy_one(first + 1);
        mapped = epoch + 1;
#ifdef REPLAY_SKIPPED
        start_worker(epoch + 1, work[epoch].next);
#else
        start_worker(epoch + 1, first);
#endif
#ifndef LATE_WRITES
        /* Nothing can read these any more, and what it still writes is nothing to anybody: fewer states to look at. */
        work[epoch].runs = false;
        egress[file(epoch)].stamp[0] = 0; egress[file(epoch)].stamp[1] = 0; egress[file(epoch)].result[0] = 0; egress[file(epoch)].result[1] = 0;
        work[epoch].next = 0; work[epoch].code = 0; work[epoch].crumb[0] = 0; work[epoch].crumb[1] = 0;
#endif
        ending[0] = 0; ending[1] = 0; ended[0] = 0; ended[1] = 0; first = 0; i = 0;
        epoch++
       }
    od;
    assert(released == MESSAGES || delivered == MESSAGES)
}
