// Seeds of random numbers that are kept over a restart: systemd-random-seed(8), random(4), and init scripts.
import { clueRule } from '../clue.ts';

export const randomSeedRule = clueRule('random-seed', [
  {
    at: [
      '/var/lib/systemd/random-seed',
      '/var/lib/{urandom,misc}/random-seed',
      '/var/lib/random-seed',
      // Where tlsmgr(8) of postfix keeps what it has gathered.
      '/var/lib/postfix{,-*}/prng_exch',
      '/var/lib/seedrng/seed.{credit,no-credit}',
      '/loader/random-seed',
      '/{boot,efi,boot/efi}/loader/random-seed',
    ],
    secret: true,
    why: 'Two hosts that start from one seed may draw the same random numbers, and so the same keys.',
    becomes: { action: 'regenerate', by: 'removal' },
  },
]);
