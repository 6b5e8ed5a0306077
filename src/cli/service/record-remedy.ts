// What to do about a record of the controller that cannot be used: said by status and by doctor.
import { shown } from '../../base/mod.ts';

const ENGAGEMENT = 'engagement/';
/** Of the storage node: removed, it would leave a volume of which nothing is known. */
const VOLUME = 'storage/volume/';

export interface RecordRemedy {
  /** The command asks a running controller. */
  readonly whileRunning: boolean;
  readonly text: string;
}

export function remedyOfRecord(key: string): RecordRemedy {
  if (key.startsWith(VOLUME)) {
    const text = 'end understudy up, and run understudy recover, which reads what the volume itself says';
    return { whileRunning: false, text };
  }
  const name = key.startsWith(ENGAGEMENT) ? key.slice(ENGAGEMENT.length) : null;
  const text = name === null ? `understudy records ${key} --remove` : `understudy dismiss ${name} --force`;
  return { whileRunning: true, text: shown(text) };
}
