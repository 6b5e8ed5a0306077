/*
 * Coming and going: how copy processes meet at one ring file, who starts a producer, who removes the file. A model for
 * spin beside ring.pml, which is about what happens in between; here a producer serves a copy in one step.
 *
 * Names as in src/replication/ring/layout.ts and rendezvous.ts. One statement, or one atomic or d_step sequence, is one
 * system call or one access to shared memory. Files are numbered in the order in which they were made; a file without a
 * path stays what it is for those who have it open. Sleeps end as in ring.pml.
 */

#ifndef COPIES
#define COPIES 2
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 0          /* 1: every sleep may end at any time, 0: only by its wake-up */
#endif
#ifndef COPY_DEATHS
#define COPY_DEATHS 0       /* of copy 0 */
#endif
#ifndef PRODUCER_DEATHS
#define PRODUCER_DEATHS 0
#endif
#ifndef FAILURES
#define FAILURES 0          /* times that a producer finds its source broken */
#endif

#define FILES (COPIES + COPY_DEATHS + PRODUCER_DEATHS + FAILURES + 1)
#define PRODUCERS 3         /* processes at one time: those that still put things away, and the newest */

#define RingState_starting 0
#define RingState_ready 1
#define RingState_failed 2
#define RingState_closed 3

typedef Header {
  byte state;
  bit bell;        /* whether it rang since the producer loaded it into `seen` */
  bit bellWaiter
};
/* A lock byte holds the id of its holder, 0 when free; shared ones hold a bit for each copy. */
typedef LockByte {
  byte rendezvous;
  byte producer;
  byte interest;
  byte consumer    /* all entries in one: copies that are registered, dead ones not among them */
};

Header header[FILES];
LockByte lock[FILES];
byte initialised;    /* files with a header */
byte path;           /* file + 1 that the path names, 0: none */
byte files;          /* that were ever made */
byte asleepOnBell;   /* producers */
byte served;         /* copies that have all their blocks */
byte serves[PRODUCERS];  /* file + 1 that a producer process was started for, 0: no such process */
byte producersKilled;
bit copyKilled;
byte ended;

/* Ghost: files of which somebody was killed since a copy last left them, and which may stay until the next copy comes. */
byte excused;

byte copyDeaths = COPY_DEATHS;
byte producerDeaths = PRODUCER_DEATHS;
byte failures = FAILURES;

#define has(set, member) (((set >> (member)) & 1) == 1)
#define isLinked (path == at + 1)
#define isOver (header[at].state == RingState_failed || header[at].state == RingState_closed)
#define copyId(copy) (copy + 1)
#define producerId(producer) (COPIES + 1 + producer)

/* [rendezvous held] Unlinks the path if it still names this file: a look and a deed, with nobody between them. */
inline removeFile() {
  if
  :: isLinked ->
     atomic { assert(isLinked); path = 0 }
  :: !isLinked
  fi
}

inline ringBell() {
  header[at].bell = 1;
  d_step {
    if
    :: header[at].bellWaiter == 1 ->
       i = 0;
       do
       :: i < PRODUCERS -> if :: serves[i] == at + 1 -> asleepOnBell = asleepOnBell & ~(1 << i) :: else fi; i++
       :: else -> i = 0; break
       od
    :: else
    fi
  }
}

inline ensureProducer() {
  if
  :: isOver
  :: !isOver ->
     atomic {
       if
       :: lock[at].producer == 0 ->
          i = 0;
          do :: serves[i] != 0 -> i++; assert(i < PRODUCERS) :: else -> break od;
          lock[at].producer = producerId(i);
          serves[i] = at + 1;
          i = 0
       :: else
       fi
     }
  fi
}

/*
 * [rendezvous held] Whether a process is behind the file. `interest` is asked first: it cannot be taken meanwhile, and only
 * who has it starts a producer. Asked the other way round, one may start between the two questions, and its starter leave.
 */
inline isInhabited() {
#ifdef CANARY_PRODUCER_ASKED_FIRST
  if
  :: lock[at].producer != 0 -> inhabited = 1
  :: lock[at].producer == 0 -> inhabited = (lock[at].interest != 0)
  fi
#else
  if
  :: atomic { lock[at].interest != 0 -> inhabited = 1 }
  :: lock[at].interest == 0 -> atomic { inhabited = (lock[at].producer != 0) }
  fi
#endif
}

proctype copyProcess(byte me) {
  byte at, i;
  bit inhabited;

#if COPY_DEATHS
  {
    skip;
#endif
meet:
    /* open with O_CREAT */
    atomic { if :: path == 0 -> files++; assert(files <= FILES); path = files :: else fi; at = path - 1 };
    atomic { lock[at].rendezvous == 0 -> lock[at].rendezvous = copyId(me) };
    if
    :: atomic { !isLinked -> lock[at].rendezvous = 0; goto meet }
    :: isLinked && !has(initialised, at) -> initialised = initialised | (1 << at)
    :: isLinked && has(initialised, at) ->
       /* usable: somebody is behind it, and it has not come to its end */
       isInhabited();
       if
       :: isOver || !inhabited ->
          d_step { assert(isOver || (lock[at].interest == 0 && lock[at].producer == 0)); inhabited = 0 };
          removeFile();
          lock[at].rendezvous = 0;
          goto meet
       :: atomic { !isOver && inhabited -> inhabited = 0 }
       fi
    fi;
#ifdef CANARY_INTEREST_AFTER_RENDEZVOUS
    lock[at].rendezvous = 0;
    lock[at].interest = lock[at].interest | (1 << me);
#else
    lock[at].interest = lock[at].interest | (1 << me);
    lock[at].rendezvous = 0;
#endif
    d_step {
      /* at most one ring of a source in which anything is still to come */
      i = 0;
      do
      :: i < files ->
         assert(i == at || lock[i].interest == 0 ||
                header[i].state == RingState_failed || header[i].state == RingState_closed);
         i++
      :: else -> i = 0; break
      od
    };

    ensureProducer();
    do
    :: header[at].state != RingState_starting -> break
#if TIMEOUTS
    :: header[at].state == RingState_starting && lock[at].producer == 0 -> ensureProducer()
#endif
    od;
    if
    :: isOver -> goto leave
    :: !isOver
    fi;
    lock[at].consumer = lock[at].consumer | (1 << me);
    ringBell();
    do
    :: has(served, me) -> break
    :: !has(served, me) && isOver -> break
#if TIMEOUTS
    :: !has(served, me) && !isOver && lock[at].producer == 0 -> ensureProducer()
#endif
    od;
    lock[at].consumer = lock[at].consumer & ~(1 << me);
    ringBell();
leave:
#ifdef CANARY_BELL_BEFORE_INTEREST
    ringBell();
    atomic { lock[at].interest = lock[at].interest & ~(1 << me); excused = excused & ~(1 << at) };
#else
    atomic { lock[at].interest = lock[at].interest & ~(1 << me); excused = excused & ~(1 << at) };
    ringBell();
#endif
#ifndef CANARY_LAST_ONE_LEAVES_THE_FILE
    /* the producer may have died meanwhile: whoever finds nobody behind the file removes it */
#ifdef CANARY_LAST_LOOK_WITHOUT_WAITING
    if
    :: atomic { lock[at].rendezvous == 0 -> lock[at].rendezvous = copyId(me) }
    :: lock[at].rendezvous != 0 -> goto gone
    fi;
#else
    atomic { lock[at].rendezvous == 0 -> lock[at].rendezvous = copyId(me) };
#endif
    isInhabited();
    if
    :: atomic { inhabited -> inhabited = 0 }
    :: !inhabited -> removeFile()
    fi;
    lock[at].rendezvous = 0;
    /* a producer that found `rendezvous` taken has gone to sleep */
    ringBell();
gone:
#endif
    skip
#if COPY_DEATHS
  } unless { me == 0 && copyKilled };
#endif
  atomic { at = 0; i = 0; inhabited = 0; ended++ }
}

proctype producerProcess(byte me) {
  byte at;

end_unborn:
  atomic { serves[me] != 0 -> at = serves[me] - 1 };
  {
    if
    :: header[at].state == RingState_starting ->
#if FAILURES
       if
       :: failures > 0 -> goto fail
       :: skip
       fi;
#endif
       atomic { assert(header[at].state == RingState_starting); header[at].state = RingState_ready }
    :: header[at].state == RingState_ready
    :: isOver ->
#ifdef CANARY_PRODUCER_OF_A_FAILED_RING
       atomic { assert(!isOver); header[at].state = RingState_ready }
#else
       /* started by somebody who had not seen the end; who looked at us and left the file to us relies on us */
       goto remove
#endif
    fi;

sweep:
    header[at].bell = 0;  /* seen := bell */
    if
    :: lock[at].consumer != 0 && (lock[at].consumer & ~served) != 0 ->
#if FAILURES
       if
       :: failures > 0 -> goto fail
       :: skip
       fi;
#endif
       served = served | lock[at].consumer;
       goto sweep
    :: lock[at].consumer != 0 && (lock[at].consumer & ~served) == 0 -> goto sleep
    :: lock[at].consumer == 0
    fi;
    /* deserted */
    if
    :: atomic { lock[at].rendezvous == 0 -> lock[at].rendezvous = producerId(me) }
    :: lock[at].rendezvous != 0 -> goto sleep
    fi;
    if
    :: atomic { lock[at].interest != 0 -> lock[at].rendezvous = 0; goto sleep }
    :: lock[at].interest == 0
    fi;
    header[at].state = RingState_closed;
    removeFile();
    goto exit;

sleep:
#if !TIMEOUTS
    header[at].bellWaiter = 1;
    d_step { if :: header[at].bell == 0 -> asleepOnBell = asleepOnBell | (1 << me) :: else fi };
    atomic { !has(asleepOnBell, me) -> header[at].bellWaiter = 0 };
#endif
    goto sweep;

fail:
    atomic { failures--; header[at].state = RingState_failed };
#ifdef CANARY_REMOVE_WITHOUT_RENDEZVOUS
    removeFile();
    goto exit;
#endif
remove:
    atomic { lock[at].rendezvous == 0 -> lock[at].rendezvous = producerId(me) };
    removeFile();

exit:
    atomic {
      if :: lock[at].rendezvous == producerId(me) -> lock[at].rendezvous = 0 :: else fi;
      lock[at].producer = 0;
      serves[me] = 0
    }
  } unless { has(producersKilled, me) };
  atomic { producersKilled = producersKilled & ~(1 << me); at = 0 };
  goto end_unborn
}

init {
  byte c, f;

  atomic {
    do :: c < COPIES -> run copyProcess(c); c++ :: else -> c = 0; break od;
    do :: c < PRODUCERS -> run producerProcess(c); c++ :: else -> c = 0; break od
  };
  do
#if COPY_DEATHS
  :: d_step {
       copyDeaths > 0 && ended == 0 ->
       copyDeaths--; copyKilled = 1; excused = 255;
       do
       :: f < FILES ->
          if :: lock[f].rendezvous == copyId(0) -> lock[f].rendezvous = 0 :: else fi;
          lock[f].interest = lock[f].interest & ~1;
          lock[f].consumer = lock[f].consumer & ~1;
          f++
       :: else -> f = 0; break
       od
     }
#endif
#if PRODUCER_DEATHS
  :: atomic {
       producerDeaths > 0 && (serves[0] != 0 || serves[1] != 0 || serves[2] != 0) ->
       if :: serves[0] != 0 -> c = 0 :: serves[1] != 0 -> c = 1 :: serves[2] != 0 -> c = 2 fi;
       producerDeaths--;
       producersKilled = producersKilled | (1 << c);
       f = serves[c] - 1;
       excused = excused | (1 << f);
       serves[c] = 0;
       asleepOnBell = asleepOnBell & ~(1 << c);
       if :: lock[f].rendezvous == producerId(c) -> lock[f].rendezvous = 0 :: else fi;
       lock[f].producer = 0;
       c = 0; f = 0
     }
#endif
  :: ended == COPIES && serves[0] == 0 && serves[1] == 0 && serves[2] == 0 -> break
  od;
  assert(path == 0 || has(excused, (path - 1)))
}
