f() { case $1 in a|b) echo ab;; [0-9]*) echo digit;; "*") echo star;; *.txt) echo text;; *) echo other;; esac; }
f a; f b; f 42; f '*'; f n.txt; f zzz
case x in (x) echo paren;; esac
case "" in ?*) echo some;; "") echo empty;; esac
