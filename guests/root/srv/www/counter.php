<?php
// A page that writes: POST adds a numbered line to a log and then stores the number, each made durable before the next step.
// So at every instant the number is that of the log's last line, or one less. GET shows both and changes nothing.
const FOLDER = '/var/lib/counter';

/** Number of the last whole line of the log, and how many there are. */
function logged($log): array
{
    rewind($log);
    $last = 0;
    $lines = 0;
    while (($line = fgets($log)) !== false) {
        if (!str_ends_with($line, "\n")) {
            break;
        }
        $last = (int) $line;
        $lines++;
    }
    return [$last, $lines];
}

function stored($file): int
{
    rewind($file);
    return (int) stream_get_contents($file);
}

$writes = $_SERVER['REQUEST_METHOD'] === 'POST';
$log = fopen(FOLDER . '/log', $writes ? 'c+' : 'r');
$file = fopen(FOLDER . '/count', $writes ? 'c+' : 'r');
if ($log === false || $file === false || !flock($log, $writes ? LOCK_EX : LOCK_SH)) {
    http_response_code(500);
    exit("the counter cannot be opened\n");
}
if ($writes) {
    [$last] = logged($log);
    $next = max($last, stored($file)) + 1;
    fseek($log, 0, SEEK_END);
    $done = fwrite($log, $next . ' ' . gmdate('c') . "\n") !== false && fflush($log) && fsync($log);
    rewind($file);
    $done = $done && fwrite($file, (string) $next) !== false && fflush($file) && fsync($file);
    if (!$done) {
        http_response_code(500);
        exit("the counter cannot be written\n");
    }
}
[$last, $lines] = logged($log);
header('Content-Type: application/json');
echo json_encode(['count' => stored($file), 'last' => $last, 'lines' => $lines]), "\n";
