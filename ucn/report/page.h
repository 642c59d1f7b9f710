// The report's page as it lies in page.html, page.css and page.js: the build puts them into the
// library.
#pragma once

namespace cairn::ucn {

extern const char* const page_html;
extern const char* const page_css;
extern const char* const page_js;

}  // namespace cairn::ucn
