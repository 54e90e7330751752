printf 12345 > f; stat -c '%s %n %F' f; mkdir d; stat -c %F d; ln -s f l; stat -c '%N' l; stat -c %h f
: > e; stat -c %F e; stat none; echo $?
