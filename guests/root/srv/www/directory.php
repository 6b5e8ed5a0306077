<?php
// Each page of the wiki asks the directory of users, which is at the other end of a slow line. Meanwhile one of the two workers
// waits: a machine like this is full long before its processor is busy, and so is one that is emulated.
const DIRECTORY_MS = 250;
if (basename($_SERVER['SCRIPT_NAME'] ?? '') === 'doku.php') {
    usleep(DIRECTORY_MS * 1000);
}
