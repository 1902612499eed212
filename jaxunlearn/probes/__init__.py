"""Measurements that need training of their own."""

from jaxunlearn.probes import spd_gan

__all__ = ['spd_gan']
