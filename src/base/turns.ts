// One thing at a time, in the order of asking.

export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `work` when everything asked before is over, well or badly. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.then(
      () => {},
      () => {},
    );
    return turn;
  }
}
