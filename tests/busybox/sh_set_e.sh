set -e
true && false || echo caught
if false; then :; fi
! true
f() { false; echo not; }
(f) || echo sub
false
echo never
