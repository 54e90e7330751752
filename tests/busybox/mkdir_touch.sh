mkdir a; mkdir a; echo $?; mkdir -p a/b/c; [ -d a/b/c ] && echo deep; mkdir x/y; echo $?
touch f; [ -f f ] && echo made; touch -c none; [ -e none ] || echo not made
touch -d '2020-01-02 03:04:05' f; stat -c %Y f; date -u -r f +%F_%T
touch -t 202103040506 f; stat -c %y f | cut -c1-19; touch -r f g; stat -c %Y g
