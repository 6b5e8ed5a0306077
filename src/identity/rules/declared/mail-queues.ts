// Mail that waits to be sent: qmgr(8) of postfix, exim's spool, sendmail's queue. The lead has it still, and sends it.
import { clueRule } from '../clue.ts';

const WHY = 'The lead sends this mail; a clone that has it sends it a second time.';
const becomes = { action: 'disable', by: 'removal' } as const;

export const mailQueuesRule = clueRule('mail-queues', [
  {
    at: [
      '/var/spool/postfix{,-*}/{incoming,active,deferred,hold,maildrop,corrupt}/**/*',
      '/var/spool/postfix{,-*}/{bounce,defer,trace}/**/*',
    ],
    value: 'a queued mail (postfix)',
    why: WHY,
    secret: true,
    becomes,
  },
  {
    at: ['/var/spool/{exim4,exim}/{input,msglog}/**/*'],
    value: 'a queued mail (exim)',
    why: WHY,
    secret: true,
    becomes,
  },
  {
    at: ['/var/spool/{mqueue,mqueue-client,clientmqueue}/**/*'],
    value: 'a queued mail (sendmail)',
    why: WHY,
    secret: true,
    becomes,
  },
  {
    at: ['/var/spool/{nullmailer,msmtp}/queue/*', '/var/qmail/queue/{info,intd,local,mess,remote,todo}/**/*'],
    value: 'a queued mail',
    why: WHY,
    secret: true,
    becomes,
  },
  {
    at: ['/var/spool/cups/{c,d}*'],
    value: 'a print job',
    why: 'The lead prints this; a clone that has it prints it a second time.',
    secret: true,
    becomes,
  },
]);
