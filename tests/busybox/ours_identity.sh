# component only
id; id -u; id -un; whoami; hostname; uname; uname -m; nproc
ps | head -n 1
ps -o pid,comm | head -n 1
