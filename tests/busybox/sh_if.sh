if true; then echo yes; else echo no; fi
if false; then echo yes; elif true; then echo elif; else echo no; fi
if [ 1 -gt 2 ]; then echo a; fi; echo $?
