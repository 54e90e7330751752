# component only
busybox --list > l; sort -c l && echo sorted
for a in $(cat l); do case $a in '['|busybox|echo|false|printf|test|true|sh|ash) continue;; esac; busybox $a --help 2>&1 | head -n 1 | grep -q "^Usage: $a" || echo "$a has no help"; done
[ $(wc -l < l) -gt 100 ] && echo many
busybox nothing; echo $?
busybox echo hi
which ls
