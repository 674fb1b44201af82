"""The browser that the tests of the screens use."""

from tests.browser.conftest import browser as browser
from tests.browser.conftest import page as page
