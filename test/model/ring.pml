/*
 * The ring protocol as a model for spin: one producer, several copy processes, deaths at any step.
 *
 * Every field of the typedefs below bears the name of a word or lock byte of src/replication/ring/layout.ts, and every
 * RingState_ and ConsumerState_ constant has its value; ring.test.ts compares them. One statement, or one atomic or
 * d_step sequence, is one access to shared memory or one system call together with the local work around it. The bytes
 * of a slot are no word: writing and reading them has a start and an end, and what overlaps is torn.
 *
 * What must hold is asserted where it happens; sleeping for ever is an invalid end state. How a sleep may end:
 *   TIMEOUTS=0, TICKS=0  by its wake-up only, so that a lost one is found;
 *   TICKS=n              also by time-out, but only when nothing else can move, and n times at most: what a death
 *                        costs is bounded;
 *   TIMEOUTS=1           at any time. Then nothing depends on futexes, and their words are left out.
 * Ghosts are read by assertions only.
 *
 * Left out: several reads and writes in flight, zero and bad blocks, the rate limit, a failing source (rendezvous.pml),
 * and weaker memory than the sequentially consistent one of Atomics.
 *
 * Each CANARY_ define plants one defect that the checks must find.
 */

#ifndef COPIES
#define COPIES 2            /* copy processes */
#endif
#ifndef ENTRIES
#define ENTRIES COPIES      /* rows of the consumer table */
#endif
#ifndef BLOCKS
#define BLOCKS 3
#endif
#ifndef SLOTS
#define SLOTS 2             /* slotCount */
#endif
#ifndef MODULUS
#define MODULUS 16          /* sequences count modulo this: a multiple of SLOTS, more than twice all that is published */
#endif
#ifndef START
#define START 14            /* first sequence; a few blocks later the count wraps */
#endif
#ifndef QUORUM
#define QUORUM COPIES       /* arrivals before the first read; fewer than COPIES: the others come late */
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 0
#endif
#ifndef TICKS
#define TICKS 0
#endif
#ifndef COPY_DEATHS
#define COPY_DEATHS 0       /* of copy 0 */
#endif
#ifndef PRODUCER_DEATHS
#define PRODUCER_DEATHS 0
#endif
#ifndef RECLAIM
#define RECLAIM COPY_DEATHS /* whether the producer looks for entries of the dead */
#endif
#ifndef DETACHMENTS
#define DETACHMENTS 0
#endif
#ifndef AHEAD
#define AHEAD 0             /* readAheadBlocks: blocks that the producer goes ahead of the fastest consumer; 0: all SLOTS */
#endif
#ifndef READINGS_MAX
#define READINGS_MAX 0      /* times that a block may be read and published; 0: not looked at */
#endif

#define RingState_starting 0
#define RingState_ready 1
#define RingState_closed 3
#define ConsumerState_free 0
#define ConsumerState_attached 1
#define ConsumerState_detached 2

typedef Header {
  byte state;
  byte head;
  byte tail;
  byte headWaiters;
  bit bell;        /* whether it rang since the producer loaded it into `seen`: all that waiting asks */
  bit bellWaiter;
  byte arrivals
};
typedef Entry {
  byte state;
  byte cursor
};
typedef Slot {
  byte sequence;
  byte block
};
/* A lock byte holds the id of its holder, 0 when free; the shared one holds a bit for each copy. */
typedef LockByte {
  byte rendezvous;
  byte producer;
  byte interest;
  byte consumer[ENTRIES]
};

Header header;
Entry entry[ENTRIES];
byte needSet[ENTRIES];
Slot slot[SLOTS];
byte slotData[SLOTS];        /* the block whose bytes are in the slot, or TORN */
LockByte lock;
bit linked = 1;              /* whether the ring file is still there */

/* Who sleeps in a futex. */
bit asleepOnHead[COPIES];
bit asleepOnBell;

bit started;                 /* a producer process lives */
bit copyKilled;              /* copy 0 */
bit producerKilled;
byte ended;                  /* copies that have */

/* Ghosts. */
byte reading[COPIES];        /* slot + 1 whose bytes a copy is reading now */
byte torn;                   /* copies whose bytes were overwritten while they were read */
byte joined;                 /* copies that are through with attaching, so may read any slot from their cursor on */
bit excused;                 /* the ring file may be left: the producer was killed */
#if READINGS_MAX
byte readings[BLOCKS];
#endif

/* What is still to happen. */
byte copyDeaths = COPY_DEATHS;
byte producerDeaths = PRODUCER_DEATHS;
byte detachments = DETACHMENTS;
byte ticks = TICKS;

#define TORN BLOCKS
#define ALL_BLOCKS ((1 << BLOCKS) - 1)

#define next(sequence) ((sequence + 1) % MODULUS)
#define back(sequence, count) ((sequence + MODULUS - (count)) % MODULUS)
/* sequenceDelta(a, b) >= 0 */
#define atOrAfter(a, b) (((a + MODULUS - b) % MODULUS) < (MODULUS / 2))
#define slotOf(sequence) (sequence % SLOTS)
#define has(set, member) (((set >> (member)) & 1) == 1)
#define isAttached(row) (entry[row].state == ConsumerState_attached)
/* of two */
#define othersAttached (entry[0].state + entry[1].state == ConsumerState_attached + ConsumerState_detached)
#define copyId(copy) (copy + 1)
#define PRODUCER_ID (COPIES + 1)

/* ---- copy process ------------------------------------------------------------------------------------------------ */

/* [consumer] bell++, and a wake-up for whoever said that it sleeps. */
inline ringBell() {
#if TIMEOUTS
  atomic { s = 0; b = 0; content = 0; stale = 0 }
#else
  atomic { header.bell = 1; s = 0; b = 0; content = 0; stale = 0 };
#ifdef CANARY_BELL_WITHOUT_WAKE
  skip
#else
  d_step { if :: header.bellWaiter == 1 -> asleepOnBell = 0 :: else fi }
#endif
#endif
}

/* Takes the producer's byte, if it is free, on an open file that a new process inherits: there is no moment between. */
inline ensureProducer() {
  atomic {
    if
    :: lock.producer == 0 && !started -> lock.producer = PRODUCER_ID; started = 1
    :: else
    fi
  }
}

/* [consumer] Sleeps while `head` is what was loaded into `h` before looking for work. */
inline waitHead() {
#if TIMEOUTS
  ensureProducer();
#else
  header.headWaiters++;
#ifdef CANARY_SLEEP_WITHOUT_LOOK
  asleepOnHead[me] = 1;
#else
  d_step { if :: header.head == h -> asleepOnHead[me] = 1 :: else fi };
#endif
  atomic { asleepOnHead[me] == 0 -> header.headWaiters-- };
#if TICKS
  ensureProducer();
#endif
#endif
  h = 0
}

/*
 * From free or detached to attached. The cursor is stored before `tail` is looked at again; a claim is stored in `tail`
 * before its producer looks at cursors. So either the claim is seen here or this consumer is seen there. One more look
 * is enough; with ATTACH_LOOPS the joiner looks until `tail` stands still, which is as safe, but lets it run after a
 * producer that meanwhile reads for it what it then passes by.
 */
inline attach() {
  s = header.tail;
  entry[e].cursor = s;
  entry[e].state = ConsumerState_attached;
#ifndef CANARY_ATTACH_WITHOUT_SECOND_LOOK
  do
  :: atomic { header.tail != entry[e].cursor && atOrAfter(header.tail, entry[e].cursor) -> s = header.tail };
     entry[e].cursor = s
#ifndef ATTACH_LOOPS
     ; break
#endif
  :: atomic { header.tail == entry[e].cursor || !atOrAfter(header.tail, entry[e].cursor) -> break }
  od;
#endif
  atomic { joined = joined | (1 << me); s = 0 }
}

/* The bytes of a slot on their way to the target (attached) or to private memory (detached). */
inline beginReading(k) {
  reading[me] = k + 1;
  if :: slotData[k] == TORN -> torn = torn | (1 << me) :: else fi;
  content = slotData[k]
}
inline endReading() {
  if :: has(torn, me) -> content = TORN :: else fi;
  torn = torn & ~(1 << me);
  reading[me] = 0
}

proctype copyProcess(byte me) {
  byte e;        /* its entry */
  byte h, s, b, content;
  bit stale;     /* ghost: block and sequence of the slot's entry were not read as one */
#ifdef DETACHED_WAITS
  bit starved;
#endif

#if COPY_DEATHS
  {
#endif
    ensureProducer();
    do
    :: header.state != RingState_starting -> break
#if TIMEOUTS || TICKS
    :: header.state == RingState_starting && lock.producer == 0 -> ensureProducer()
#endif
    od;

    /* a row whose lock byte is free and in which nothing remains of another */
    do
    :: atomic { lock.consumer[e] == 0 -> lock.consumer[e] = copyId(me) };
       if
       :: atomic { entry[e].state == ConsumerState_free -> needSet[e] = ALL_BLOCKS; break }
       :: atomic { entry[e].state != ConsumerState_free -> lock.consumer[e] = 0; e = (e + 1) % ENTRIES }
       fi
    :: atomic { lock.consumer[e] != 0 -> e = (e + 1) % ENTRIES }
    od;
    attach();
    header.arrivals++;
    ringBell();

work:
    if
    :: atomic { !isAttached(e) -> goto detached }
    :: atomic { isAttached(e) -> if :: needSet[e] == 0 -> goto leave :: else fi }
    fi;
    atomic {
      h = header.head;
      if :: h == entry[e].cursor -> goto idle :: else -> s = entry[e].cursor; h = 0 fi
    };
#ifdef CANARY_SEQUENCE_READ_FIRST
    if
    :: atomic { slot[slotOf(s)].sequence != s -> s = 0; goto work }
    :: slot[slotOf(s)].sequence == s
    fi;
#endif
    d_step { b = slot[slotOf(s)].block; stale = (slot[slotOf(s)].sequence != s) };
    atomic {
#ifndef CANARY_SEQUENCE_READ_FIRST
      /* written first and read last: if it is the old one, so is the rest */
      if :: slot[slotOf(s)].sequence != s -> goto detached :: else fi;
#endif
      if :: !has(needSet[e], b) -> goto pass :: else fi;
      assert(!stale);
      beginReading(slotOf(s))
    };
#ifdef CANARY_BIT_BEFORE_WRITE
    needSet[e] = needSet[e] & ~(1 << b);
    atomic { endReading(); assert(content == b) };
#else
#ifdef CANARY_STATE_NOT_LOOKED_AT
    atomic { endReading() };
#else
    /* still attached after the last look at the bytes: they were whole all the time */
    atomic { endReading(); if :: !isAttached(e) -> goto detached :: else fi };
#endif
#ifdef CANARY_OBSERVED_AFTER_LOOK
    atomic { beginReading(slotOf(s)) };
    atomic { endReading() };
#endif
#ifdef CANARY_CURSOR_BEFORE_BIT
    entry[e].cursor = next(s);
#endif
    atomic { assert(content == b); needSet[e] = needSet[e] & ~(1 << b) };
#endif
pass:
    entry[e].cursor = next(s);
    ringBell();
    goto work;

idle:
    waitHead();
    goto work;

detached:
    atomic { joined = joined & ~(1 << me); s = 0; b = 0; content = 0; stale = 0 };
again:
    /* the newest first: it has longest before it is overwritten */
    h = header.head;
    s = h;
    do
    :: atomic { !(s != header.tail && atOrAfter(s, header.tail)) -> break };
    :: atomic { s != header.tail && atOrAfter(s, header.tail) -> s = back(s, 1); b = slot[slotOf(s)].block };
       if
       :: atomic { has(needSet[e], b) -> beginReading(slotOf(s)) };
#ifdef CANARY_TAIL_NOT_LOOKED_AT
          atomic { endReading(); assert(content == b); needSet[e] = needSet[e] & ~(1 << b) }
#else
          atomic {
            endReading();
            if
            :: !atOrAfter(s, header.tail) -> content = 0; b = 0; goto again
            :: else
            fi
          };
          atomic { assert(content == b); needSet[e] = needSet[e] & ~(1 << b); content = 0 }
#endif
#ifdef DETACHED_WAITS
          ; starved = 0
#endif
       :: !has(needSet[e], b)
       fi
    od;
    atomic { s = 0; b = 0; if :: needSet[e] == 0 -> h = 0; goto leave :: else fi };
#ifdef DETACHED_WAITS
    /* caught up: waits for one more block before it stands in line again, unless nobody else does */
    if
    :: atomic { !starved && othersAttached -> starved = 1 };
       waitHead();
       goto again
    :: atomic { starved || !othersAttached -> starved = 0 }
    fi;
#endif
    h = 0;
    attach();
    ringBell();
    goto work;

leave:
    /* out of line, but still at the table while it flushes and verifies */
    entry[e].state = ConsumerState_detached;
    ringBell();
    atomic { assert(needSet[e] == 0); joined = joined & ~(1 << me) };
    entry[e].state = ConsumerState_free;
    lock.consumer[e] = 0;
#ifdef CANARY_BELL_BEFORE_INTEREST
    ringBell();
    lock.interest = lock.interest & ~(1 << me);
#else
    lock.interest = lock.interest & ~(1 << me);
    ringBell();
#endif
#if COPY_DEATHS
  } unless { me == 0 && copyKilled };
#endif
  atomic { e = 0; h = 0; s = 0; b = 0; content = 0; stale = 0; ended++ }
}

/* ---- producer ---------------------------------------------------------------------------------------------------- */

/* Adds to `wanted` what row `e` needs and will not find in the ring when it takes sequence `from` next. */
inline addWanted(from, need) {
  k = 0; offer = 0;
  do
  :: k < SLOTS ->
     if :: has(ours, k) && atOrAfter(slot[k].sequence, from) -> offer = offer | (1 << slot[k].block) :: else fi;
     k++
  :: else -> break
  od;
  wanted = wanted | (need & ~offer);
  k = 0; offer = 0; cursor = 0
}

proctype producerProcess() {
  byte ours;     /* slots whose block is on offer */
  byte position; /* block that is read next */
  byte wanted, offer, held, cursor, b, h, e, k;
  bit live, starving;
#if AHEAD
  bit near;      /* some consumer has less than AHEAD before it */
#endif

end_unborn:
  started -> skip;
#if PRODUCER_DEATHS
  {
#endif
    if
    :: header.state == RingState_starting -> header.state = RingState_ready
    :: header.state == RingState_ready
    fi;

#if PRODUCER_DEATHS
#ifndef CANARY_NO_REBUILD
    /* what a dead predecessor left on offer */
    h = back(header.head, SLOTS);
    do
    :: atomic { h == header.head -> break }
    :: atomic { h != header.head && slot[slotOf(h)].sequence != h -> h = next(h) }
    :: atomic {
         h != header.head && slot[slotOf(h)].sequence == h && atOrAfter(h, header.tail) ->
         ours = ours | (1 << slotOf(h));
         h = next(h)
       }
    :: h != header.head && slot[slotOf(h)].sequence == h && !atOrAfter(h, header.tail) ->
       /* claimed, so it may hold half a block, unless a consumer still stands before it */
       do
       :: e == ENTRIES -> break
       :: e < ENTRIES && isAttached(e) ->
          atomic { if :: atOrAfter(h, entry[e].cursor) -> ours = ours | (1 << slotOf(h)) :: else fi; e++ }
       :: atomic { e < ENTRIES && !isAttached(e) -> e++ }
       od;
       atomic { e = 0; h = next(h) }
    od;
    h = 0;
#endif
    /* on from the last block published */
    atomic {
      position = 0;
      if
      :: slot[slotOf(back(header.head, 1))].sequence == back(header.head, 1) ->
         position = (slot[slotOf(back(header.head, 1))].block + 1) % BLOCKS
      :: else
      fi
    };
#endif

sweep:
    atomic {
      header.bell = 0;  /* seen := bell */
      wanted = 0; live = 0; e = 0;
#if AHEAD
      near = 0
#endif
    };
#if RECLAIM
    do
    :: atomic { e == ENTRIES -> e = 0; break }
    :: atomic { e < ENTRIES && entry[e].state == ConsumerState_free -> e++ }
    :: e < ENTRIES && entry[e].state != ConsumerState_free ->
#ifdef CANARY_RECLAIM_WITHOUT_LOCK
       if
       :: lock.consumer[e] == 0 -> atomic { entry[e].state = ConsumerState_free; e++ }
       :: atomic { lock.consumer[e] != 0 -> e++ }
       fi
#else
       if
       :: atomic { lock.consumer[e] == 0 -> lock.consumer[e] = PRODUCER_ID };
          entry[e].state = ConsumerState_free;
          atomic { lock.consumer[e] = 0; e++ }
       :: atomic { lock.consumer[e] != 0 -> e++ }
       fi
#endif
    od;
#endif
    if
    :: atomic { header.arrivals < QUORUM && !copyKilled -> goto sleep }
    :: header.arrivals >= QUORUM || copyKilled  /* or waited long enough for the dead */
    fi;

    /* the union of the need-sets without what is on offer; each cursor is loaded before its need-set */
    do
    :: e < ENTRIES && isAttached(e) ->
#ifdef CANARY_NEED_BEFORE_CURSOR
       atomic { live = 1; cursor = needSet[e] };
       d_step { addWanted(entry[e].cursor, cursor); e++ }
#else
       atomic { live = 1; cursor = entry[e].cursor };
       d_step {
#if AHEAD
         if :: (header.head + MODULUS - cursor) % MODULUS < AHEAD -> near = 1 :: else fi;
#endif
         addWanted(cursor, needSet[e]); e++
       }
#endif
    :: atomic { e < ENTRIES && !isAttached(e) -> if :: entry[e].state != ConsumerState_free -> live = 1 :: else fi; e++ }
    :: atomic {
         e == ENTRIES ->
         e = 0;
         if
         :: wanted == 0 && !live -> goto deserted
         :: wanted == 0 && live -> live = 0; goto sleep
#if AHEAD
         :: wanted != 0 && !near -> wanted = 0; live = 0; goto sleep
#endif
         :: else -> break
         fi
       }
    od;
    atomic {
      b = position;
      do
      :: !has(wanted, b) -> b = (b + 1) % BLOCKS
      :: else -> break
      od;
      wanted = 0; live = 0;
#if AHEAD
      near = 0;
#endif
      h = header.head;
      /* the claim, and only then a look at the consumers */
#ifndef CANARY_TAIL_AFTER_LOOK
      if :: atOrAfter(back(h, SLOTS - 1), header.tail) -> header.tail = back(h, SLOTS - 1) :: else fi
#endif
    };
    do
    :: e < ENTRIES && isAttached(e) ->
#if DETACHMENTS
       atomic {
         cursor = entry[e].cursor;
         if
         :: atOrAfter(back(h, SLOTS), cursor) -> held = held | (1 << e)
#ifdef DETACH_FOR_NOBODY
         :: cursor == h -> starving = 1
#else
         :: cursor == h && needSet[e] != 0 -> starving = 1
#endif
         :: else
         fi;
         cursor = 0; e++
       }
#else
       atomic { if :: atOrAfter(back(h, SLOTS), entry[e].cursor) -> held = held | (1 << e) :: else fi; e++ }
#endif
    :: atomic { e < ENTRIES && !isAttached(e) -> e++ }
    :: atomic { e == ENTRIES -> e = 0; if :: held != 0 -> goto blocked :: else -> starving = 0; break fi }
    od;
#ifdef CANARY_TAIL_AFTER_LOOK
    if
    :: atOrAfter(back(h, SLOTS - 1), header.tail) -> header.tail = back(h, SLOTS - 1)
    :: else
    fi;
#endif

    /* the source is read into the slot */
    atomic {
      k = 0;
      do
      :: k < COPIES -> if :: reading[k] == slotOf(h) + 1 -> torn = torn | (1 << k) :: else fi; k++
      :: else -> break
      od;
      k = 0;
      do
      :: k < ENTRIES ->
         /* nothing is overwritten that somebody may still read */
         assert(!(isAttached(k) && lock.consumer[k] != 0 && lock.consumer[k] != PRODUCER_ID &&
                  has(joined, (lock.consumer[k] - 1)) && atOrAfter(back(h, SLOTS), entry[k].cursor)));
         k++
      :: else -> break
      od;
      k = 0;
      ours = ours & ~(1 << slotOf(h));
      slotData[slotOf(h)] = TORN;
      position = (b + 1) % BLOCKS
    };
    slotData[slotOf(h)] = b;
    slot[slotOf(h)].sequence = h;
    slot[slotOf(h)].block = b;
    atomic {
#if READINGS_MAX
      readings[b]++;
      assert(readings[b] <= READINGS_MAX);
#endif
      ours = ours | (1 << slotOf(h));
      header.head = next(h);
      b = 0; h = 0
    };
#if !TIMEOUTS
    atomic {
      if
      :: header.headWaiters > 0 -> do :: k < COPIES -> asleepOnHead[k] = 0; k++ :: else -> k = 0; break od
      :: else
      fi
    };
#endif
    goto sweep;

blocked:
#if DETACHMENTS
    if
    :: starving && detachments > 0 ->
       /* held up for too long: compare-and-set of one of the slow */
       atomic {
         do
         :: has(held, e) -> break
         :: e + 1 < ENTRIES && (held >> (e + 1)) != 0 -> e++
         od;
         if :: isAttached(e) -> entry[e].state = ConsumerState_detached; detachments-- :: else fi;
         held = 0; starving = 0; b = 0; h = 0; e = 0;
         goto sweep
       }
    :: skip
    fi;
#endif
    atomic { held = 0; starving = 0; b = 0; h = 0 };
sleep:
#if !TIMEOUTS
    header.bellWaiter = 1;
#ifdef CANARY_WAKE_WITHOUT_RECHECK
    asleepOnBell = 1;
#else
    d_step { if :: header.bell == 0 -> asleepOnBell = 1 :: else fi };  /* futexWait(bell, seen) */
#endif
    atomic { asleepOnBell == 0 -> header.bellWaiter = 0 };
#endif
    goto sweep;

deserted:
    lock.rendezvous = PRODUCER_ID;
    if
    :: atomic { lock.interest != 0 -> lock.rendezvous = 0; goto sleep }
    :: lock.interest == 0
    fi;
    header.state = RingState_closed;
    linked = 0;
    atomic { lock.rendezvous = 0; lock.producer = 0; started = 0 };
#if PRODUCER_DEATHS
  } unless { producerKilled };
  producerKilled = 0;
#endif
  atomic { ours = 0; position = 0; wanted = 0; offer = 0; held = 0; cursor = 0; b = 0; h = 0; e = 0; k = 0; live = 0; starving = 0 };
  goto end_unborn
}

/* ---- the world: kills, and looks at what is left ------------------------------------------------------------------ */

init {
  byte c;

  atomic {
    header.head = START; header.tail = START;
    do :: c < SLOTS -> slot[c].sequence = START; slotData[c] = TORN; c++ :: else -> break od;
    c = 0;
    /* all copies have met at the ring and hold `interest` (rendezvous.pml is about that); nobody serves it yet */
    do :: c < COPIES -> lock.interest = lock.interest | (1 << c); run copyProcess(c); c++ :: else -> break od;
    c = 0;
    run producerProcess()
  };
  do
#if COPY_DEATHS
  :: d_step {
       copyDeaths > 0 && has(lock.interest, 0) ->
       copyDeaths--; copyKilled = 1;
       lock.interest = lock.interest & ~1;
       do
       :: c < ENTRIES -> if :: lock.consumer[c] == copyId(0) -> lock.consumer[c] = 0 :: else fi; c++
       :: else -> break
       od;
       c = 0;
       asleepOnHead[0] = 0; reading[0] = 0; torn = torn & ~1; joined = joined & ~1
     }
#endif
#if PRODUCER_DEATHS
  :: d_step {
       producerDeaths > 0 && started ->
       producerDeaths--; producerKilled = 1;
       if :: lock.rendezvous == PRODUCER_ID -> lock.rendezvous = 0 :: else fi;
       do
       :: c < ENTRIES -> if :: lock.consumer[c] == PRODUCER_ID -> lock.consumer[c] = 0 :: else fi; c++
       :: else -> break
       od;
       c = 0;
       lock.producer = 0; started = 0; asleepOnBell = 0; excused = 1
     }
#endif
#if TICKS
  :: d_step {
       timeout && ticks > 0 && (ended < COPIES || started) ->
       ticks--; asleepOnBell = 0;
       do :: c < COPIES -> asleepOnHead[c] = 0; c++ :: else -> break od;
       c = 0
     }
#endif
  :: ended == COPIES && !started -> break
  od;
  assert(!linked || excused)
}
