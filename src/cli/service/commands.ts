// The commands of the service, loaded when one of them is asked for.
import type { Command } from 'commander';
import { type BackUpState, backupCommand, type RestoreState, restoreCommand } from './archive.ts';
import { auditCommand } from './audit.ts';
import { cloneCommand } from './clone.ts';
import { dismissCommand } from './dismiss.ts';
import { doctorCommand, type Examine } from './doctor.ts';
import { explainCommand } from './explain.ts';
import { holdCommands } from './holds.ts';
import { inspectCommand } from './inspect.ts';
import { approveCommand, powerCommand } from './orders.ts';
import { personaliseCommand } from './personalise.ts';
import { pkiCommand } from './pki.ts';
import { recordsCommand } from './records.ts';
import { type Recover, recoverCommand } from './recover.ts';
import { reloadCommand } from './reload.ts';
import { replayCommand } from './replay.ts';
import { rulesCommand } from './rules.ts';
import { simulateCommand } from './simulate.ts';
import { statusCommand } from './status.ts';
import { tokenCommand } from './token.ts';
import { transplantCommand } from './transplant.ts';
import { type Serve, upCommand } from './up.ts';

/** What is composed of concrete drivers, and so comes from bin. */
export interface Composed {
  readonly serve: Serve;
  readonly examine: Examine;
  readonly recover: Recover;
  readonly backup: BackUpState;
  readonly restore: RestoreState;
}

export function serviceCommands(done: (exit: number) => void, composed: Composed): readonly Command[] {
  return [
    doctorCommand(done, composed.examine),
    upCommand(done, composed.serve),
    reloadCommand(done),
    statusCommand(done),
    cloneCommand(done),
    dismissCommand(done),
    ...holdCommands(done),
    explainCommand(done),
    approveCommand(done),
    powerCommand(done),
    pkiCommand(done),
    recordsCommand(done),
    recoverCommand(done, composed.recover),
    backupCommand(done, composed.backup),
    restoreCommand(done, composed.restore),
    auditCommand(done),
    tokenCommand(done),
    inspectCommand(done),
    personaliseCommand(done),
    rulesCommand(done),
    transplantCommand(done),
    replayCommand(done),
    simulateCommand(done),
  ];
}
