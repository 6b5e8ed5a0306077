// Goal: no image, whatever a guest has written into it, ends the program that reads it, holds it up, fills its memory,
// or leads it to files outside of the image. Method: hostile images of one seed through `inspect`, `personalise` and
// `copy --extent used`, each with limits and a watch on the files beside it. 36 here, each through one or two of these;
// 500 through all by `npm run proof:images`.
import { expect, test } from 'vitest';
import { IMAGES, PARADE_MS_MAX, parade } from './parade.ts';
import { PROGRAM } from './try.ts';

test(
  'images - hostile ones are read to the end or refused by name, within limits, and nothing beside them is touched',
  async () => {
    const tally = await parade(PROGRAM, IMAGES);
    // Or the images prove nothing.
    const reached = [...tally.keys()];
    expect(reached).toEqual(expect.arrayContaining(['inspect ok', 'copy ok', 'personalise ok']));
    expect(reached.filter((word) => word.includes(' IMAGE_')).length).toBeGreaterThan(1);
  },
  PARADE_MS_MAX,
);
