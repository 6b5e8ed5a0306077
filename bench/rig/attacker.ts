// One attack as a process of its own, so that what it costs its sender is not measured: `attacker.js NAME
// TARGET-AS-JSON`, until it is ended.
import { type AttackName, type AttackTarget, attack } from './attacks.ts';

const [name = '', target = '{}'] = process.argv.slice(2);
attack(name as AttackName, JSON.parse(target) as AttackTarget);
process.on('SIGTERM', () => process.exit(0));
process.stdout.write('begun\n');
