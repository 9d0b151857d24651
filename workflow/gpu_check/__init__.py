"""Proves the path on a graphics card in one call, `workflow/gpu_check.sh`: the CPU's numbers, no waits, the speed."""
