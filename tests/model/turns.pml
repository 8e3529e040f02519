/* turns.pml - code is changed while workers die: one worker takes another's place (the renewer: remote.c's watch() with
 * supervisor.c's begin_epoch()), and one change is made (the changer: change.c's gq_change_switch() with
 * remote_change.c's ask_twice()).
 *
 * A worker may die at any step (TROUBLES times), or refuse to start; and the old code may be one that ends each worker
 * as soon as it serves. Requests have one lock, and while a worker is away only the renewer asks, or the changer in its
 * turn: behind the loading of what is live, and before the worker serves.
 *
 *   nobody waits for ever
 *   in the end the worker that serves has the code that the host calls live
 *   where nothing else goes wrong, code that ends all its workers is replaced
 *
 * Each name that is asked for below (#ifdef, #ifndef) and given with -D breaks one rule of the protocol, and has to make
 * the verification fail.
 */
#ifndef TROUBLES
#define TROUBLES 3
#endif
#define OLD_CODE 1
#define NEW_CODE 2
#define FRUITLESS_MAX 2 /* workers in a row without a message, after which there is no other */
#define STARTS_MAX 2    /* attempts to start one */
#define BAD_ONES 6      /* workers that the old code ends: more than those above allow where the rules hold */

mtype = { NONE, WANTED, GIVEN };

bool alive = true, serves = true; /* the worker, */
byte code = OLD_CODE;             /* and what it runs messages with */
byte live = OLD_CODE;             /* as the host knows it */
bool ends_workers;                /* the old code */
byte troubles = TROUBLES;

bool locked, away, dead; /* remote->lock, ->away, link.dead */
byte deaths;
mtype turn = NONE;
bool turn_failed;
bool changed; /* the changer is done */

#define over (changed && (dead || !away))

active proctype killer()
{
    do
    :: atomic { troubles > 0 && alive -> troubles--; alive = false }
    :: break
    od
}

active proctype bad_code()
{
    byte left = BAD_ONES;
end:
    do
    :: atomic { ends_workers && left > 0 && alive && serves && code == OLD_CODE -> left--; alive = false }
    od
}

/* --- the renewer ----------------------------------------------------------------------------------------------------- */

inline give_turn()
{
    atomic { /* with the lock */
        !locked;
        if
#ifndef NO_TURN
        :: turn == WANTED -> turn = GIVEN
#endif
        :: else -> skip
        fi
    }
    turn != GIVEN
}

active proctype renewer()
{
    byte epoch_code, starts, fruitless;
    atomic { if :: ends_workers = true :: skip fi }
end:
    do
    :: !alive ->
       atomic { !locked -> deaths++; away = true } /* bury() */
       if
       :: turn == NONE -> fruitless++
       :: else -> skip
       fi;
       starts = 0;
#ifdef CODE_READ_ONCE
       epoch_code = live;
#endif
       do
       :: fruitless == FRUITLESS_MAX || starts == STARTS_MAX ->
          atomic { !locked -> dead = true; away = false; goto gone }
       :: else ->
          starts++;
#ifndef CODE_READ_ONCE
          epoch_code = live;
#endif
          atomic { alive = true; serves = false; code = 0 } /* gq_remote_begin() */
          if
          :: atomic { alive -> code = epoch_code }
          :: !alive -> goto next
          fi;
          give_turn();
          if /* gq_remote_succeed() */
          :: atomic { alive && !locked -> serves = true; break }
          :: atomic { !alive && !locked -> break } /* it is ending, and is buried like one that served */
          :: atomic { troubles > 0 && alive && !locked -> /* it refuses */
                troubles--;
                alive = false;
#ifndef DEATH_NOT_COUNTED
                deaths++
#endif
             }
          fi;
next:     skip
       od;
       atomic { !locked -> away = false }
    od;
gone:
    skip
}

/* --- the changer ----------------------------------------------------------------------------------------------------- */

mtype = { ANSWERED, REFUSED, ENDED };

/* gq_remote_ask() */
inline ask()
{
    atomic { !locked && (!away || turn == GIVEN) -> locked = true; asked = deaths; watched = !away }
    if
    :: atomic { !dead && alive -> code = NEW_CODE }
       if
       :: said = ANSWERED /* whatever becomes of it from here on */
       :: atomic { !alive -> said = ENDED }
       fi
    :: atomic { !dead && alive && troubles > 0 -> troubles--; said = REFUSED }
    :: atomic { dead || !alive -> said = ENDED }
    fi;
    atomic {
        turn_failed = turn_failed || (said == ENDED && turn == GIVEN);
        locked = false
    }
    if
    :: said == ENDED && watched -> deaths != asked || dead
    :: else -> skip
    fi
}

/* ask_twice(); `before` is remote->change_deaths behind it. */
inline change()
{
    atomic { turn = WANTED; turn_failed = false }
    before = deaths;
    ask();
    if
    :: said == ENDED && !turn_failed && deaths != before ->
       !away || turn == GIVEN;
       if
       :: dead -> skip
       :: else -> before = deaths; ask()
       fi
    :: else -> skip
    fi;
    turn = NONE;
    if
    :: turn_failed -> deaths != before || dead
    :: else -> skip
    fi
}

/* What the host calls live has to be what the worker runs, also when it died as soon as it had answered. */
inline make_sure()
{
    known = before;
    do
    :: said == ANSWERED && deaths != known && !dead -> now = deaths; change(); known = now
    :: else -> break
    od;
#ifndef NOT_REPLACED
    if
    :: said == REFUSED && deaths == known ->
       !away; /* one that is yet to serve is not killed */
       atomic { if :: !dead -> alive = false :: else -> skip fi }
    :: else -> skip
    fi
#endif
}

active proctype changer()
{
    byte before, asked, known, now;
    mtype said;
    bool watched;
    change();
    if
    :: said == ANSWERED ->
       live = NEW_CODE;
#ifndef NOT_MADE_SURE
       make_sure()
#endif
    :: else -> assert(dead || troubles < TROUBLES) /* it is refused */
    fi;
    changed = true
}

/* --- in the end, when nobody can do anything any more ------------------------------------------------------------------ */

active proctype judge()
{
end:
    timeout;
    assert(over && turn == NONE);
    assert(dead || (alive && serves && code == live))
}
