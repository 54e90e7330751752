outer() { inner() { echo in; }; inner; }
outer; inner
rec() { [ $1 -eq 0 ] && return; echo $1; rec $(($1-1)); }; rec 3
