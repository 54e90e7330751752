s=hello; echo ${s%l*} ${s%%l*} ${s#*l} ${s##*l}
f=a.b.c; echo ${f%.*} ${f##*.}
echo ${#f}; x=; echo ${#x}
