// The commands of the service, as the help of the whole program lists them. They are loaded only when one of them is asked for, so
// that a copy starts no later because of them.

export const serviceCommandNames: Readonly<Record<string, string>> = {
  doctor: 'Says what the configuration needs and this machine does not have. Changes nothing.',
  up: 'Runs controller and storage node for the installation that understudy.yaml describes.',
  status: 'Shows services, hosts and engagements, and why they are as they are.',
  clone: 'Engages a spare for a lead by hand, and waits until it takes traffic.',
  dismiss: 'Takes an understudy off stage and gives the spare its own disk back.',
  explain: 'Shows the last decisions about a service, each with its evidence.',
  approve: 'Carries out a plan that waits for a yes.',
  inspect: 'Says what in a disk image must not exist twice, and what would become of it on a clone. Changes nothing.',
  personalise: 'Shows what makes a copy of one host another host; with --apply does it, and verifies it.',
  rules: 'Tries rules of your own for what must not exist twice.',
  transplant: 'Puts a portion of the files of one host into the system of another, which stays who it is.',
  replay: 'Says what a policy would have done with recorded signals, and when. Touches no host.',
  simulate: 'Drives a policy against a model of hosts, beside how others would scale them. Touches no host.',
  power: 'Switches a host that is in no engagement on or off.',
};
