// The commands of the service, as the help of the whole program lists them. They are loaded only when one of them is
// asked for, so that a copy starts no later because of them.

export const serviceCommandNames: Readonly<Record<string, string>> = {
  doctor: 'Checks what the configuration needs and this machine lacks. Changes nothing.',
  up: 'Runs the controller and the storage node of the installation that understudy.yaml describes.',
  status: 'Shows services, hosts and engagements, and why they are as they are.',
  clone: 'Engages a spare for a lead by hand, and waits until it takes traffic.',
  dismiss: 'Ends an engagement, and gives the spare its own disk back.',
  pause: 'Has the policy begin and end nothing for a service, until it is resumed.',
  resume: 'Ends the pause of a service, and what a dismissal by hand holds back.',
  maintenance: 'Takes a host out of all engagements, or gives it back. An engagement that has it ends in good order.',
  ack: 'Takes note of engagements that failed: status shows them as done.',
  explain: 'Shows the last decisions about a service, each with its evidence.',
  approve: 'Carries out a plan that waits for approval.',
  pki: 'Makes a private authority and certificates for controllers, hosts and users.',
  audit: 'Shows who ordered what, and who was refused.',
  token: 'Makes, lists and revokes the tokens of people and agents, on the machine of the controller.',
  inspect: 'Lists what in a disk image must not exist twice, and what a clone does with it. Changes nothing.',
  personalise: 'Shows the changes that turn a copy of one host into another host; --apply makes and verifies them.',
  rules: 'Tests your own rules for what must not exist twice.',
  transplant: 'Copies some files of one host into the system of another, which keeps its identity.',
  replay: 'Shows what a policy would have done with recorded signals, and when. Touches no host.',
  simulate: 'Runs a policy on a model of hosts, and compares it with other autoscalers. Touches no host.',
  records: 'Lists the records of the controller that cannot be used, and removes one of them.',
  power: 'Switches a host on or off, unless it is in an engagement.',
};
