// The way down: off stage, off, its own data back, free. It is the same from every phase; what was never done needs no
// undoing.
import { UnderstudyError } from '../base/mod.ts';
import { takeOffStage } from './director-places.ts';
import { within } from './parts.ts';
import { reached } from './record.ts';
import { isReplaced, type Step, switchOff, volumeOf } from './step.ts';

/** No new requests, and those under way are finished, within bounds. */
export const drain: Step = async (input) => {
  const { engagement, service } = input;
  if (!reached(engagement, 'admit')) return { kind: 'done' };
  return (await takeOffStage(input, service)) ?? { kind: 'done' };
};

/**
 * A spare that still has its own data was not started by us, and is not stopped by us. Seed row P13. A call of an
 * earlier controller may still be on its way to overwrite it: attaching it (which changes nothing for a spare that has
 * its own) carries our epoch to the storage node before we believe that nothing was overwritten.
 */
export const off: Step = async (input) => {
  const { context, service, understudy } = input;
  const { storage } = context.parts;
  if (!isReplaced(await volumeOf(input, understudy))) {
    await within(context, `attaching ${understudy.volume}`, service.timeoutsMs.call, (call) =>
      storage.attach(understudy.volume, understudy.name, call),
    );
    return { kind: 'done' };
  }
  await switchOff(input, understudy);
  await within(context, `detaching ${understudy.volume}`, service.timeoutsMs.call, (call) =>
    storage.detach(understudy.volume, call),
  );
  return { kind: 'done' };
};

/** Seed row P17. What was declared expendable stays as it is, and is never attached again as its own. */
export const restore: Step = async (input) => {
  const { context, engagement, service, understudy } = input;
  if (!isReplaced(await volumeOf(input, understudy)) || understudy.expendable) return { kind: 'done' };
  await within(context, `restoring ${understudy.volume}`, service.timeoutsMs.copy, (call) =>
    context.parts.storage.restore(understudy.volume, engagement.name, call, (progress) =>
      input.world.progress.set(engagement.name, progress),
    ),
  );
  return { kind: 'done' };
};

/** The spare is as it was, and free for the next who struggles. Seed row P19. */
export const release: Step = async (input) => {
  const { context, engagement, service, understudy } = input;
  const { storage } = context.parts;
  const volume = await volumeOf(input, understudy);
  if (isReplaced(volume)) {
    if (understudy.expendable) return { kind: 'done' };
    throw new UnderstudyError('VOLUME_STATE', `${volume.name} does not hold its own data after it was restored`);
  }
  if (volume.backups.some((backup) => backup.engagement === engagement.name)) {
    await within(context, 'deleting the backup', service.timeoutsMs.call, (call) =>
      storage.discard(volume.name, engagement.name, call),
    );
  }
  await within(context, `attaching ${volume.name}`, service.timeoutsMs.call, (call) =>
    storage.attach(volume.name, understudy.name, call),
  );
  return { kind: 'done' };
};
