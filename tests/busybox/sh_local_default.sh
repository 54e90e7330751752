f() { local x; x=1; local y=2 z; echo $x $y ${z-unset}; }; f
