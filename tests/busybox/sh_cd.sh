mkdir -p a/b; cd a/b; pwd | sed 's,.*/a,a,'; cd ..; pwd | sed 's,.*/,,'; cd - >/dev/null; pwd | sed 's,.*/,,'
cd /nonexistent; echo $?
cd /; pwd; cd //; cd /tmp/..; pwd
