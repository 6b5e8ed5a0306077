// Who works on a volume in this process. Whoever would write a volume needs it for itself alone; reading one moment of it is
// possible for several, and while its host writes.
import { assert, UnderstudyError } from '../base/mod.ts';

interface Claim {
  /** "backup for web1-1": for whoever is refused. */
  readonly what: string;
  readonly kind: 'sole' | 'read';
}

export class Claims {
  readonly #claims = new Map<string, Claim[]>();

  /** For itself alone. @returns what gives it up @throws VOLUME_BUSY */
  sole(volume: string, what: string): () => void {
    const [other] = this.#of(volume);
    if (other !== undefined) throw busy(volume, other);
    return this.#add(volume, { what, kind: 'sole' });
  }

  /** Together with others that read. @throws VOLUME_BUSY */
  read(volume: string, what: string): () => void {
    const other = this.#of(volume).find(({ kind }) => kind === 'sole');
    if (other !== undefined) throw busy(volume, other);
    return this.#add(volume, { what, kind: 'read' });
  }

  #of(volume: string): readonly Claim[] {
    return this.#claims.get(volume) ?? [];
  }

  #add(volume: string, claim: Claim): () => void {
    this.#claims.set(volume, [...this.#of(volume), claim]);
    return () => {
      const left = this.#of(volume).filter((other) => other !== claim);
      assert(left.length === this.#of(volume).length - 1, 'a claim is given up once');
      if (left.length === 0) this.#claims.delete(volume);
      else this.#claims.set(volume, left);
    };
  }
}

function busy(volume: string, { what }: Claim): UnderstudyError {
  return new UnderstudyError('VOLUME_BUSY', `${volume} is busy: ${what}`);
}
