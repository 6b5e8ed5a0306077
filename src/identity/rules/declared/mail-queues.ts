// Mail that waits to be sent: qmgr(8) of postfix, exim's spool, sendmail's queue. The lead has it still, and sends it.
// There may be any number of files, so it is the folders that are found, and emptied.
import { clueRule } from '../clue.ts';

const WHY = 'The lead sends this mail; a clone that has it sends it a second time.';
const becomes = { action: 'disable', by: 'emptying' } as const;

export const mailQueuesRule = clueRule('mail-queues', [
  {
    at: ['/var/spool/postfix{,-*}/{incoming,active,deferred,hold,maildrop,corrupt,bounce,defer,trace}'],
    value: 'queued mail (postfix)',
    why: WHY,
    becomes,
  },
  { at: ['/var/spool/{exim4,exim}/{input,msglog}'], value: 'queued mail (exim)', why: WHY, becomes },
  {
    at: ['/var/spool/{mqueue,mqueue-client,clientmqueue}'],
    value: 'queued mail (sendmail)',
    why: WHY,
    becomes,
  },
  {
    at: [
      '/var/spool/{nullmailer,msmtp}/queue',
      '/var/qmail/queue/{info,intd,local,mess,remote,todo}',
      '/var/spool/{opensmtpd,smtpd}/{queue,incoming,offline}',
      '/var/spool/{mailman,mailman3}/queue',
      '/var/lib/mailman{,3}/{qfiles,queue}',
    ],
    value: 'queued mail',
    why: WHY,
    becomes,
  },
  {
    at: ['/var/spool/cups', '/var/spool/lpd', '/var/spool/uucp', '/var/spool/{hylafax,fax}/{sendq,doneq,docq}'],
    value: 'jobs for printers, faxes and other machines',
    why: 'The lead does these jobs; a clone that has them does them a second time.',
    becomes,
  },
]);
