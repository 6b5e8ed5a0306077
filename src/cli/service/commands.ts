// The commands of the service, loaded when one of them is asked for.
import type { Command } from 'commander';
import { cloneCommand } from './clone.ts';
import { explainCommand } from './explain.ts';
import { approveCommand, dismissCommand, powerCommand } from './orders.ts';
import { statusCommand } from './status.ts';
import { type Serve, upCommand } from './up.ts';

export function serviceCommands(done: (exit: number) => void, serve: Serve): readonly Command[] {
  return [
    upCommand(done, serve),
    statusCommand(done),
    cloneCommand(done),
    dismissCommand(done),
    explainCommand(done),
    approveCommand(done),
    powerCommand(done),
  ];
}
