<?php
// Costs ?ms=N milliseconds of processor time (1 to 10000), whatever the machine is worth.
$ms = max(1, min(10000, (int) ($_GET['ms'] ?? 100)));
function spent(): float
{
    $usage = getrusage();
    $micros = $usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec'];
    return ($usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec']) * 1000 + $micros / 1000;
}
$end = spent() + $ms;
$digest = '';
while (spent() < $end) {
    for ($i = 0; $i < 50; $i++) {
        $digest = sha1($digest . $i);
    }
}
header('Content-Type: text/plain');
echo "burned $ms ms\n";
